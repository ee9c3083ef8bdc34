// SPDX-License-Identifier: MIT
// The ws package on both ends: node ws.cjs serve, or node ws.cjs URL SCENARIO.
// What happens is said in lines of JSON.
'use strict';
const { WebSocket, WebSocketServer } = require('ws');
const { createServer } = require('node:http');

const say = (x) => process.stdout.write(JSON.stringify(x) + '\n');
const once = (s, event) => new Promise((resolve) => s.once(event, (...all) => resolve(all)));
// What ws calls the end: [code, reason].
const end = async (s) => {
	const [code, reason] = await once(s, 'close');
	return [code, reason.toString()];
};

function serve() {
	const http = createServer((q, r) => r.writeHead(404).end());
	const server = new WebSocketServer({ noServer: true, maxPayload: 32 << 20,
	    perMessageDeflate: { threshold: 0 },
	    handleProtocols: (wanted) => wanted.has('chat.v2') ? 'chat.v2' : false });
	http.on('upgrade', (q, socket, head) => {
		if (q.url === '/forbidden')
			socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\nWWW-Authenticate: x\r\n\r\nno\n');
		else
			server.handleUpgrade(q, socket, head, (s) => server.emit('connection', s, q));
	});
	server.on('connection', (s, q) => {
		const path = q.url;
		s.on('close', (code, reason) => say({ closed: path, code, reason: reason.toString() }));
		s.on('error', () => {});
		if (path === '/goodbye')
			s.close(4010, 'server says so');
		else if (path === '/speaks-first')
			for (let i = 0; i < 100; i++)
				s.send(`hello ${i}`);
		else
			s.on('message', (data, isBinary) => s.send(data, { binary: isBinary }));
	});
	http.listen(0, '127.0.0.1', () => say(http.address().port));
	process.stdin.on('end', () => process.exit(0)).resume();
}

async function opened(url, path, ...more) {
	const s = new WebSocket(url + path, ...more);
	await new Promise((resolve, reject) => s.once('open', resolve).once('error', reject));
	return s;
}

const scenarios = {
	async echo(url) {
		const s = await opened(url, '/echo', ['chat.v1', 'chat.v2'], { perMessageDeflate: true });
		say({ protocol: s.protocol, extensions: s.extensions });
		s.send('text');
		say((await once(s, 'message')).map(String));
		const big = Buffer.alloc(5 << 20, 'weir ');
		s.send(big);
		const [data, isBinary] = await once(s, 'message');
		say([data.equals(big), isBinary]);
		// A message in three frames, a ping between.
		s.send('one ', { fin: false });
		s.send('two ', { fin: false });
		s.ping('are you there');
		say((await once(s, 'pong')).map(String));
		s.send('three');
		say((await once(s, 'message')).map(String));
		s.close(4001, 'enough');
		say(await end(s));
	},

	async goodbye(url) {
		const s = await opened(url, '/goodbye');
		say(await end(s));
	},

	async speaks_first(url) {
		const s = new WebSocket(url + '/speaks-first');
		const got = [];
		await new Promise((resolve) => s.on('message', (m) => got.push(String(m)) === 100 && resolve()));
		say(got.every((m, i) => m === `hello ${i}`));
		s.close();
		await end(s);
	},

	async forbidden(url) {
		const s = new WebSocket(url + '/forbidden');
		const [, response] = await once(s, 'unexpected-response');
		let body = '';
		for await (const part of response)
			body += part;
		say([response.statusCode, response.headers['www-authenticate'], body]);
	},

	// Nobody says goodbye.
	async vanish(url) {
		const s = await opened(url, '/vanish');
		s.send('x');
		await once(s, 'message');
		s.terminate();
		say(await end(s));
	},

	// The other end is killed when this was said.
	async abandoned(url) {
		const s = await opened(url, '/abandoned');
		say('open');
		s.on('error', () => {});
		say(await end(s));
	},

	async crowd(url) {
		const talk = async (n) => {
			const s = await opened(url, `/echo/${n}`);
			const got = [];
			const all = new Promise((resolve) => s.on('message', (m) =>
			    got.push(String(m)) === 100 && resolve()));
			for (let i = 0; i < 100; i++)
				s.send(`${n} ${i}`);
			await all;
			s.close(1000);
			const [code] = await end(s);
			return code === 1000 && got.every((m, i) => m === `${n} ${i}`);
		};
		say((await Promise.all(Array.from({ length: 50 }, (_, n) => talk(n)))).every(Boolean));
	},
};

const [where, scenario] = process.argv.slice(2);
if (where === 'serve')
	serve();
else
	scenarios[scenario](where).catch((e) => say({ error: e.message })).finally(() => process.exit(0));
