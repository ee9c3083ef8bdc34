# SPDX-License-Identifier: MIT
"""Decoders of gzip and zstd that take a body piece by piece, as a browser does."""
import ctypes
import ctypes.util
import zlib


class Gzip:
    def __init__(self):
        self.z = zlib.decompressobj(31)

    def feed(self, data):
        return self.z.decompress(data)

    @property
    def is_whole(self):
        return self.z.eof and not self.z.unused_data


class _Buffer(ctypes.Structure):
    _fields_ = [("p", ctypes.c_void_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t)]


class Zstd:
    """By libzstd itself: Python has none."""
    lib = None

    def __init__(self):
        if Zstd.lib is None:
            Zstd.lib = lib = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
            lib.ZSTD_createDStream.restype = ctypes.c_void_p
            lib.ZSTD_decompressStream.restype = ctypes.c_size_t
            lib.ZSTD_decompressStream.argtypes = [ctypes.c_void_p] + [ctypes.POINTER(_Buffer)] * 2
            lib.ZSTD_isError.argtypes = [ctypes.c_size_t]
            lib.ZSTD_freeDStream.argtypes = [ctypes.c_void_p]
        self.ctx = Zstd.lib.ZSTD_createDStream()
        self.out = ctypes.create_string_buffer(1 << 17)
        self.is_whole = False

    def __del__(self):
        if Zstd.lib is not None:
            Zstd.lib.ZSTD_freeDStream(self.ctx)

    def feed(self, data):
        source = ctypes.create_string_buffer(data, len(data))
        into, got = _Buffer(ctypes.cast(source, ctypes.c_void_p), len(data), 0), []
        while True:
            out = _Buffer(ctypes.cast(self.out, ctypes.c_void_p), len(self.out), 0)
            assert not self.is_whole or into.pos == into.size, "bytes behind the end of the frame"
            left = Zstd.lib.ZSTD_decompressStream(self.ctx, ctypes.byref(out), ctypes.byref(into))
            assert not Zstd.lib.ZSTD_isError(left), "this is not zstd"
            self.is_whole |= left == 0 and len(data) > 0
            got.append(self.out.raw[:out.pos])
            if into.pos == into.size and out.pos < len(self.out):
                return b"".join(got)


DECODERS = {"gzip": Gzip, "zstd": Zstd}


def decode(r):
    """The body of a whole answer as it was before it was encoded."""
    name = r.get("Content-Encoding")
    if name is None:
        return r.body
    d = DECODERS[name]()
    body = d.feed(r.body)
    assert d.is_whole, f"cut after {len(body)} bytes"
    return body
