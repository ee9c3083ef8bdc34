// SPDX-License-Identifier: MIT
// The openai package as an application uses it: node openai.cjs BASE_URL SCENARIO.
// What happens is said in lines of JSON; the streaming ones go on when told by a line.
'use strict';
const readline = require('node:readline');
const { OpenAI } = require('openai');

const [url, scenario] = process.argv.slice(2);
const say = (x) => process.stdout.write(JSON.stringify(x) + '\n');
const told = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const messages = [{ role: 'user', content: 'What is a river?' }];
const model = 'qwen2.5-0.5b-demo';
const client = new OpenAI({ baseURL: url + '/v1', apiKey: 'sk-secret', maxRetries: 2, timeout: 20000 });

function sayError(e) {
	say({ error: e.constructor.name, status: e.status ?? null, type: e.type ?? null,
	    message: e.message, code: e.code ?? null });
}

const scenarios = {
	async models() {
		const ids = [];
		for await (const m of client.models.list())
			ids.push(m.id);
		say(ids);
	},

	async whole() {
		const { data, response } = await client.chat.completions.create({ model, messages,
			max_tokens: 7 }).withResponse();
		say({ text: data.choices[0].message.content, finish: data.choices[0].finish_reason,
		    usage: data.usage, instance: response.headers.get('x-instance') });
	},

	// Each delta as it comes.
	async stream() {
		const stream = await client.chat.completions.create({ model, messages, stream: true,
			max_tokens: 5, stream_options: { include_usage: true } });
		for await (const chunk of stream)
			say({ delta: chunk.choices[0]?.delta.content ?? null, usage: chunk.usage ?? null,
			    finish: chunk.choices[0]?.finish_reason ?? null });
		say('over');
	},

	async abort() {
		const stream = await client.chat.completions.create({ model, messages, stream: true });
		let stopped = false;
		for await (const chunk of stream) {
			// What had come already is given out even then.
			if (stopped)
				continue;
			say(chunk.choices[0].delta.content);
			stopped = (await told.next()).value === 'abort';
			if (stopped)
				stream.controller.abort();
		}
		say('over');
	},

	// Leaving the loop is how most programs stop.
	async leave() {
		const stream = await client.chat.completions.create({ model, messages, stream: true });
		let n = 0;
		for await (const chunk of stream)
			if (++n === 4)
				break;
		say(n);
		await told.next();
	},

	async impatient() {
		await client.chat.completions.create({ model, messages }, { timeout: 300, maxRetries: 0 });
	},

	async without_retries() {
		await client.chat.completions.create({ model, messages, stream: true }, { maxRetries: 0 });
	},

	async crowd() {
		const all = await Promise.all(Array.from({ length: 40 }, (_, i) =>
			client.chat.completions.create({ model, messages: [{ role: 'user', content: `q ${i}` }],
			    stream: i % 2 === 0, max_tokens: 3 })));
		const texts = [];
		for (const [i, a] of all.entries()) {
			let text = '';
			if (i % 2 === 0)
				for await (const chunk of a)
					text += chunk.choices[0]?.delta.content ?? '';
			else
				text = a.choices[0].message.content;
			texts.push(text);
		}
		say(texts);
	},
};

scenarios[scenario]().catch(sayError).finally(() => process.stdin.destroy());
