"""The agent's parts that need no machine: CUDA's answers, and whom it passes on to the engine. Run by test/acceptance/lambda/agent.test.ts."""

import asyncio
import ctypes
import hashlib
import json
import unittest

import agent as program

TOKEN = "token-of-the-machine"
KEY = "key-of-the-engine"


class Cuda:
    """libcuda as the check calls it; `failing` gives a call's error."""

    def __init__(self, devices=8, failing=None):
        self.devices, self.failing, self.calls = devices, failing or {}, []

    def __getattr__(self, name):
        def call(*args):
            self.calls.append(name)
            if name == "cuGetErrorString":
                args[1]._obj.value = b"system not yet initialized"
            elif name == "cuDeviceGetCount":
                args[0]._obj.value = self.devices
            return self.failing.get(name, 0)

        return call


class CheckCuda(unittest.TestCase):
    def test_memory_of_each_gpu_is_used(self):
        cuda = Cuda()
        self.assertTrue(program.check_cuda(8, lambda _: cuda)["ok"])
        self.assertEqual(cuda.calls.count("cuMemsetD8_v2"), 8)

    def test_what_is_listed_and_does_not_start_is_told_with_its_number(self):
        told = program.check_cuda(1, lambda _: Cuda(failing={"cuInit": 802}))
        self.assertEqual(told, {"ok": False, "code": 802, "message": "cuInit: error 802, system not yet initialized"})

    def test_a_gpu_that_is_missing_and_a_driver_that_is_missing_are_told(self):
        self.assertIn("7 of 8", program.check_cuda(8, lambda _: Cuda(devices=7))["message"])

        def absent(_):
            raise OSError("libcuda.so.1: cannot open shared object file")

        self.assertIn("not installed", program.check_cuda(8, absent)["message"])


class Exchanges(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        hashed = hashlib.sha256(TOKEN.encode()).hexdigest()
        self.agent = program.Agent({"name": "sw-1", "tokenHash": hashed, "gpus": 1}, b"c" * 32)
        self.agent.order = {"engineKey": KEY, "secrets": [KEY]}
        self.agent.phase = "up"
        self.asked = []
        self.left = asyncio.Event()
        self.engine = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.agent.port = self.engine.sockets[0].getsockname()[1]
        self.server = await asyncio.start_server(
            lambda reader, writer: program.converse(self.agent, reader, writer), "127.0.0.1", 0, limit=65536
        )
        port = self.server.sockets[0].getsockname()[1]
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)

    async def asyncTearDown(self):
        self.writer.close()
        self.server.close()
        self.engine.close()

    async def answer(self, reader, writer):
        """The engine: a stream of two frames, or what its path says."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        self.asked.append((head, await reader.readexactly(length)))
        if head.startswith("GET /metrics"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nready")
        elif b"slow" in self.asked[-1][1]:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndata: \r\n")
            await reader.read()
            self.left.set()
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
            for frame in (b"data: 1\n\n", b"data: [DONE]\n\n"):
                writer.write(b"%x\r\n%s\r\n" % (len(frame), frame))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()

    def ask(self, line, body=b"", key=KEY, more=""):
        head = "%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n%s\r\n"
        self.writer.write((head % (line, key, len(body), more)).encode() + body)

    async def hear(self):
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)).decode()
        status = int(head.split(" ")[1])
        if "chunked" in head.lower():
            return status, head, await asyncio.wait_for(self.reader.readuntil(b"0\r\n\r\n"), 5)
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        return status, head, await self.reader.readexactly(length)

    async def test_one_connection_carries_one_exchange_after_the_other(self):
        for _ in range(3):
            self.ask("POST /v1/chat/completions", b'{"stream":true}')
            status, head, body = await self.hear()
            self.assertEqual((status, body.count(b"data: ")), (200, 2))
            self.assertNotIn("connection", head.lower())
            self.ask("GET /metrics")
            self.assertEqual((await self.hear())[2], b"ready")
        self.assertEqual(self.asked[0][1], b'{"stream":true}')

    async def test_two_requests_in_one_piece_are_two(self):
        self.ask("GET /metrics")
        self.ask("GET /metrics")
        self.assertEqual([(await self.hear())[2], (await self.hear())[2]], [b"ready", b"ready"])

    async def test_routes_that_an_engine_answers_to_anybody_ask_for_its_key_here(self):
        for line in ("GET /metrics", "POST /tokenize", "GET /health", "GET /version"):
            await self.refused(line, 401, key="wrong")
        self.assertEqual(self.asked, [])

    async def test_other_routes_stay_on_the_machine(self):
        for line in ("POST /reset_prefix_cache", "GET /docs", "GET /v1x", "POST /sleep"):
            await self.refused(line, 404)
        self.assertEqual(self.asked, [])

    async def test_requests_that_two_readers_may_read_differently_are_refused(self):
        await self.refused("POST /v1/completions", 411, more="Transfer-Encoding: chunked\r\n")
        await self.refused("POST /v1/completions", 400, more="Content-Length: 3\r\n")

    async def test_the_engines_key_opens_no_control_and_the_token_no_engine(self):
        await self.refused("GET /slipway/state", 401)
        await self.refused("GET /metrics", 401, key=TOKEN)
        await self.connect_anew()
        self.ask("GET /slipway/state", key=TOKEN)
        self.assertEqual(json.loads((await self.hear())[2])["phase"], "up")
        await self.refused("POST /slipway/drain", 400, key=TOKEN, body=b"{")

    async def test_a_second_order_changes_nothing(self):
        self.ask("POST /slipway/order", json.dumps({"engineKey": "other"}).encode(), key=TOKEN)
        self.assertEqual((await self.hear())[0], 200)
        self.assertTrue(self.agent.knows_key(KEY))

    async def test_who_hangs_up_ends_the_engines_work(self):
        self.ask("POST /v1/completions", b"slow")
        await self.reader.readuntil(b"data: ")
        self.writer.close()
        await asyncio.wait_for(self.left.wait(), 5)

    async def test_without_an_engine_it_says_so_and_goes_on(self):
        self.engine.close()
        await self.engine.wait_closed()
        self.ask("GET /metrics")
        self.assertEqual((await self.hear())[0], 503)
        self.ask("GET /slipway/state", key=TOKEN)
        self.assertEqual((await self.hear())[0], 200)

    async def test_no_line_of_a_log_shows_the_key(self):
        await self.agent.say("INFO api_key=%s" % KEY)
        self.ask("GET /slipway/log?tail=5", key=TOKEN)
        body = (await self.hear())[2]
        self.assertIn(b"[redacted]", body)
        self.assertNotIn(KEY.encode(), body)

    async def refused(self, line, status, key=KEY, more="", body=b""):
        """On a connection of its own: a refusal ends it."""
        await self.connect_anew()
        self.ask(line, body, key, more)
        self.assertEqual((await self.hear())[0], status, line)

    async def connect_anew(self):
        self.writer.close()
        port = self.server.sockets[0].getsockname()[1]
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)


if __name__ == "__main__":
    unittest.main()
