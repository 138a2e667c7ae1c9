"""Slipway's agent on a rented machine: the only thing there that listens to the network.

It makes a key and a certificate of its own, proves by a secret of its name that the certificate is this machine's, checks the
GPUs, takes one order from whoever holds the token, fetches weights and image, runs the engine's container on loopback, and passes
requests with the engine's key on to it. Standard library only, Python 3.8 and later, and the programs docker, openssl and iptables.

    agent.py run CONFIG         serves
    agent.py gpu-check COUNT    initialises CUDA and uses memory of each GPU; prints one line of JSON

CONFIG: {"name", "tokenHash", "host", "port", "gpus", "gpuCheckSeconds", "ports", "dir", "secretDir", "weightsDir"}; `ports` stay open
to the network, `secretDir` is in memory.
"""

import asyncio
import collections
import ctypes
import hashlib
import hmac
import json
import os
import shutil
import socket
import ssl
import sys
import time

CONTAINER = "slipway-engine"
HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 64 * 1024 * 1024
ORDER_BYTES_MAX = 1024 * 1024
# An idle connection is the gateway's to close.
IDLE_SECONDS = 180
HEAD_SECONDS = 30
# Prompts are short to send; a client that stops in the middle holds nothing for ever.
BODY_SECONDS = 120
CONNECTIONS_MAX = 2048
LOG_LINES_MAX = 10000
LINE_BYTES_MAX = 16 * 1024
REPORT_LINES = 200
GPU_CHECK_EVERY_SECONDS = 10
GPU_CHECK_ONE_SECONDS = 90
PULL_TRIES_MAX = 4
HEALTH_EVERY_SECONDS = 1
HEALTH_SECONDS = 5
# What an engine's own routes are called; all else of it stays on the machine.
ENGINE_PATHS = ("/v1/", "/health", "/metrics", "/tokenize", "/detokenize", "/version")


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Failure(Exception):
    """Why there is no engine: a reason of Slipway's list and a sentence."""

    def __init__(self, reason, message):
        super().__init__(message)
        self.reason = reason


def write_private(path, text):
    draft = path + ".draft"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    os.replace(draft, path)


def make_certificate(directory, name):
    """A key and a certificate that live as long as the machine runs."""
    import subprocess

    key, certificate = os.path.join(directory, "tls.key"), os.path.join(directory, "tls.crt")
    if not os.path.exists(certificate):
        order = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650".split()
        os.umask(0o077)
        subprocess.run(
            order + ["-subj", "/CN=" + name, "-keyout", key, "-out", certificate + ".draft"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.replace(certificate + ".draft", certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    with open(certificate) as file:
        der = ssl.PEM_cert_to_DER_cert(file.read())
    return context, hashlib.sha256(der).digest()


async def run(*words, seconds=60, env=None):
    """Status and output of a program; status -1 when it took too long or is not there."""
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=env
        )
    except OSError as error:
        return -1, "%s: %s" % (words[0], error.strerror)
    try:
        output, _ = await asyncio.wait_for(process.communicate(), seconds)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
        return -1, "%s took longer than %d s" % (words[0], seconds)
    return process.returncode, output.decode("utf-8", "replace")


# ---- GPUs


def check_cuda(count, load=ctypes.CDLL):
    """Uses each GPU as an engine does: a machine may list its GPUs and still have no CUDA."""
    try:
        cuda = load("libcuda.so.1")
    except OSError as error:
        return {"ok": False, "code": -1, "message": "NVIDIA's driver is not installed: %s" % error}

    def call(name, *args):
        code = getattr(cuda, name)(*args)
        if code != 0:
            text = ctypes.c_char_p()
            cuda.cuGetErrorString(code, ctypes.byref(text))
            words = (text.value or b"unknown error").decode("utf-8", "replace")
            raise Refused(code, "%s: error %d, %s" % (name, code, words))

    try:
        call("cuInit", 0)
        found = ctypes.c_int()
        call("cuDeviceGetCount", ctypes.byref(found))
        if found.value < count:
            return {"ok": False, "code": -1, "message": "CUDA sees %d of %d GPUs" % (found.value, count)}
        for index in range(count):
            device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
            size = ctypes.c_size_t(1 << 20)
            call("cuDeviceGet", ctypes.byref(device), index)
            call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
            call("cuCtxSetCurrent", context)
            call("cuMemAlloc_v2", ctypes.byref(memory), size)
            call("cuMemsetD8_v2", memory, ctypes.c_ubyte(0), size)
            call("cuCtxSynchronize")
            call("cuMemFree_v2", memory)
            call("cuDevicePrimaryCtxRelease_v2", device)
    except Refused as error:
        return {"ok": False, "code": error.status, "message": str(error)}
    return {"ok": True, "code": 0, "message": "%d GPUs work" % found.value}


async def check_gpus(agent):
    """Again and again until CUDA works or the time is up. A child does it: CUDA that failed once stays failed in its process."""
    count = agent.config["gpus"]
    give_up = time.monotonic() + agent.config["gpuCheckSeconds"]
    while True:
        status, output = await run(
            "python3", os.path.abspath(__file__), "gpu-check", str(count), seconds=GPU_CHECK_ONE_SECONDS
        )
        try:
            told = json.loads(output.strip().split("\n")[-1])
        except ValueError:
            told = {"ok": False, "message": output.strip()[-300:] or "the check ended with %d" % status}
        if told["ok"]:
            break
        agent.detail = "checks its GPUs: " + told["message"]
        if time.monotonic() >= give_up:
            raise Failure("ENGINE_FAILED", "The machine's GPUs can't be used: %s." % told["message"])
        await asyncio.sleep(GPU_CHECK_EVERY_SECONDS)
    status, output = await run("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
    names = [line.split(",")[0].strip() for line in output.splitlines() if "," in line] if status == 0 else []
    agent.gpus = names


# ---- The firewall


async def close_firewall(config):
    """Lets in what was asked for, answers, loopback and containers; drops the rest. Lambda's own firewall may be wide open."""
    rules = [
        ["-N", "SLIPWAY"],
        ["-F", "SLIPWAY"],
        ["-A", "SLIPWAY", "-i", "lo", "-j", "ACCEPT"],
        ["-A", "SLIPWAY", "-i", "docker0", "-j", "ACCEPT"],
        ["-A", "SLIPWAY", "-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"],
        *(["-A", "SLIPWAY", "-p", "tcp", "--dport", str(port), "-j", "ACCEPT"] for port in config["ports"]),
        ["-A", "SLIPWAY", "-p", "icmp", "-j", "ACCEPT"],
        ["-A", "SLIPWAY", "-j", "DROP"],
        ["-D", "INPUT", "-j", "SLIPWAY"],
        ["-I", "INPUT", "1", "-j", "SLIPWAY"],
    ]
    for program, pings in (("iptables", "icmp"), ("ip6tables", "ipv6-icmp")):
        if program == "ip6tables" and not has_ipv6():
            continue
        for rule in rules:
            words = [pings if word == "icmp" else word for word in rule]
            status, output = await run(program, "-w", *words, seconds=20)
            # Making the chain again and taking away what was not there may fail.
            if status != 0 and rule[0] not in ("-N", "-D"):
                raise Failure("ENGINE_FAILED", "The machine's firewall can't be closed: %s" % output.strip()[-300:])


def has_ipv6():
    try:
        with open("/proc/net/if_inet6") as file:
            return any(not line.rstrip().endswith(" lo") for line in file)
    except OSError:
        return False


# ---- The agent's state


class Agent:
    def __init__(self, config, certificate_hash):
        self.config = config
        self.certificate_hash = certificate_hash
        self.secret = bytes.fromhex(config["tokenHash"])
        self.phase = "checking"
        self.detail = "checks its GPUs"
        self.gpus = []
        self.failure = None
        self.progress = None
        self.order = None
        self.port = 0
        self.healthy = False
        self.exit_code = None
        self.kill_at = None
        self.lines = collections.deque(maxlen=LOG_LINES_MAX)
        self.count = 0
        self.news = asyncio.Condition()
        self.tasks = set()

    def spawn(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def path(self, name):
        return os.path.join(self.config["secretDir"], name)

    def weights_dir(self):
        return os.path.join(self.config["weightsDir"], self.order["weights"]["folder"])

    def proof(self, nonce):
        return hmac.new(self.secret, nonce + self.certificate_hash, hashlib.sha256).hexdigest()

    def knows(self, token):
        return hmac.compare_digest(hashlib.sha256(token.encode("utf-8", "replace")).digest(), self.secret)

    def knows_key(self, key):
        wanted = self.order["engineKey"] if self.order else ""
        return wanted != "" and hmac.compare_digest(key.encode("utf-8", "replace"), wanted.encode())

    def fail(self, reason, message):
        self.phase = "failed"
        self.failure = {"reason": reason, "message": self.clean(message)}

    def clean(self, text):
        """Keys and tokens never leave the machine, whoever wrote them into a log."""
        for secret in (self.order or {}).get("secrets", []):
            text = text.replace(secret, "[redacted]")
        return text

    async def say(self, line):
        self.lines.append(self.clean(line.rstrip("\r\n"))[:LINE_BYTES_MAX])
        self.count += 1
        async with self.news:
            self.news.notify_all()

    def report(self):
        return {
            "name": self.config["name"],
            "phase": self.phase,
            "detail": self.detail,
            "gpus": self.gpus,
            "healthy": self.healthy,
            "progress": self.progress,
            "failure": self.failure,
            "exitCode": self.exit_code,
            "lines": [] if self.phase == "up" else list(self.lines)[-REPORT_LINES:],
        }


# ---- Bringing the engine up


async def prepare(agent):
    """The firewall, the GPUs, then an order: of a former life of this process, or from whoever comes."""
    try:
        await close_firewall(agent.config)
        await check_gpus(agent)
    except Failure as failure:
        agent.fail(failure.reason, str(failure))
        return
    agent.phase, agent.detail = "waiting", "waits for its order"
    if os.path.exists(agent.path("order.json")):
        with open(agent.path("order.json")) as file:
            take(agent, json.load(file))
    elif os.path.exists(os.path.join(agent.config["dir"], "ordered")):
        agent.fail("ENGINE_FAILED", "The machine was started anew, and its order was in memory only.")


def take(agent, order):
    """Once: a second order changes nothing."""
    if agent.phase != "waiting":
        return
    agent.order = order
    agent.phase, agent.detail = "preparing", "fetches weights and image"
    write_private(agent.path("order.json"), json.dumps(order))
    write_private(os.path.join(agent.config["dir"], "ordered"), "")
    agent.spawn(bring_up(agent))


async def bring_up(agent):
    try:
        status, output = await run("docker", "inspect", "--format", "{{json .NetworkSettings.Ports}}", CONTAINER)
        if status == 0:
            agent.port = published(output)
        else:
            if not await both(agent):
                return
            await start_container(agent)
        agent.phase, agent.detail = "starting", "starts the engine"
        agent.spawn(read_log(agent))
        agent.spawn(watch_health(agent))
        agent.spawn(watch_end(agent))
    except Failure as failure:
        agent.fail(failure.reason, str(failure))
    except Exception as error:
        agent.fail("ENGINE_FAILED", "The agent failed: %s: %s" % (type(error).__name__, error))


def published(output):
    try:
        return int(next(iter(json.loads(output).values()))[0]["HostPort"])
    except (ValueError, StopIteration, KeyError, IndexError, TypeError):
        raise Failure("ENGINE_FAILED", "Docker does not tell the port of the engine's container.")


async def both(agent):
    """Weights and image at the same time; False when it was ended meanwhile."""
    works = [asyncio.ensure_future(fetch_weights(agent)), asyncio.ensure_future(pull(agent))]
    try:
        await asyncio.gather(*works)
    finally:
        for work in works:
            work.cancel()
    return agent.kill_at is None


async def fetch_weights(agent):
    order = agent.order
    directory = agent.weights_dir()
    os.makedirs(directory, exist_ok=True)
    write_private(agent.path("weights.json"), json.dumps({**order["weights"], "dir": directory}))
    write_private(agent.path("hub-token"), order["hubToken"])
    process = await asyncio.create_subprocess_exec(
        "python3",
        os.path.join(os.path.dirname(os.path.abspath(__file__)), "fetch-weights.py"),
        agent.path("weights.json"),
        agent.path("hub-token"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1 << 20,
    )
    failed = None
    try:
        async for raw in process.stdout:
            line = raw.decode("utf-8", "replace")
            try:
                event = json.loads(line)
            except ValueError:
                await agent.say(line)
                continue
            if event.get("event") == "progress":
                agent.detail = "downloads weights"
                agent.progress = {"doneBytes": event["doneBytes"], "totalBytes": event["totalBytes"]}
            elif event.get("event") == "failed":
                failed = Failure(event["reason"], event["message"])
        status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
        os.remove(agent.path("hub-token"))
    if failed:
        raise failed
    if status != 0:
        raise Failure("ENGINE_FAILED", "The download of the weights ended with status %d." % status)
    agent.progress, agent.detail = None, "fetches the image"


async def pull(agent):
    image = agent.order["image"]
    for left in reversed(range(PULL_TRIES_MAX)):
        status, output = await run("docker", "pull", "--quiet", image, seconds=3600)
        if status == 0:
            return
        said = output.strip().split("\n")[-1][-300:]
        if "denied" in said or "unauthorized" in said or "manifest unknown" in said or "not found" in said:
            raise Failure("CONFIG_INVALID", "The image %s can't be had: %s" % (image, said))
        if left:
            await asyncio.sleep(10)
    raise Failure("ENGINE_FAILED", "The image %s can't be had: %s" % (image, said))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def start_container(agent):
    order = agent.order
    files = agent.path("files")
    shutil.rmtree(files, ignore_errors=True)
    os.makedirs(files, mode=0o700)
    for name, text in order["files"].items():
        write_private(os.path.join(files, os.path.basename(name)), text)
    agent.port = free_port()
    words = ["docker", "run", "--detach", "--name", CONTAINER, "--restart", "no", "--ipc", "host"]
    words += ["--log-opt", "max-size=50m", "--log-opt", "max-file=2", "--ulimit", "memlock=-1"]
    if agent.config["gpus"] > 0:
        words += ["--gpus", "all"]
    # Loopback alone: some of an engine's routes ask for no key.
    words += ["--publish", "127.0.0.1:%d:%d" % (agent.port, order["port"])]
    words += ["--volume", "%s:%s:ro" % (files, order["filesDir"])]
    words += ["--volume", "%s:%s:ro" % (agent.weights_dir(), order["modelDir"])]
    for name, value in order["env"].items():
        words += ["--env", "%s=%s" % (name, value)]
    argv = order["argv"]
    words += ["--entrypoint", argv[0], order["image"]] + argv[1:]
    status, output = await run(*words, seconds=300)
    if status != 0:
        raise Failure("ENGINE_FAILED", "Docker does not start the engine: %s" % agent.clean(output.strip()[-300:]))


async def read_log(agent):
    process = await asyncio.create_subprocess_exec(
        "docker", "logs", "--follow", CONTAINER,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, limit=1 << 22,
    )
    while True:
        try:
            raw = await process.stdout.readline()
        except ValueError:
            continue  # a line beyond all bounds: its pieces are dropped
        if not raw:
            return
        await agent.say(raw.decode("utf-8", "replace"))


async def watch_health(agent):
    while agent.exit_code is None:
        agent.healthy = await ask_health(agent)
        if agent.healthy and agent.phase == "starting":
            agent.phase, agent.detail = "up", ""
        await asyncio.sleep(HEALTH_EVERY_SECONDS)


async def ask_health(agent):
    async def ask():
        reader, writer = await asyncio.open_connection("127.0.0.1", agent.port)
        try:
            writer.write(b"GET /health HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n")
            return (await reader.readline()).split(b" ")[1:2] == [b"200"]
        finally:
            writer.close()

    try:
        return await asyncio.wait_for(ask(), HEALTH_SECONDS)
    except (OSError, asyncio.TimeoutError, ValueError):
        return False


async def watch_end(agent):
    """Its end is the end of the replica: what ended is not started again under its name."""
    status, output = await run("docker", "wait", CONTAINER, seconds=10**8)
    # What it said last comes by another pipe.
    await asyncio.sleep(0.2)
    agent.exit_code = int(output.strip()) if status == 0 and output.strip().isdigit() else -1
    agent.healthy = False
    agent.phase = "ended"


# ---- Ending it


def drain(agent, grace_seconds):
    """The engine finishes what it streams; a second order may only be sooner."""
    asked = time.monotonic() + max(0.0, grace_seconds)
    first = agent.kill_at is None
    agent.kill_at = asked if first else min(agent.kill_at, asked)
    if first:
        agent.spawn(end_engine(agent))


async def end_engine(agent):
    if agent.phase not in ("starting", "up"):
        agent.phase = "ended"
        return
    agent.phase, agent.detail = "draining", "finishes its streams"
    await run("docker", "kill", "--signal", "TERM", CONTAINER)
    while agent.exit_code is None:
        if time.monotonic() >= agent.kill_at:
            await run("docker", "kill", CONTAINER)
        await asyncio.sleep(0.1)


# ---- HTTP


async def read_head(reader, first):
    """Method, path and headers of a request; None when the client has closed. `first`: bytes that were read already."""
    try:
        head = first + await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except asyncio.LimitOverrunError:
        raise Refused(431, "the head is too large")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Refused(400, "no HTTP/1.1")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            name = name.strip().lower()
            if name in ("content-length", "transfer-encoding") and name in headers:
                raise Refused(400, "the length is told twice")
            headers[name] = value.strip()
    if "transfer-encoding" in headers:
        raise Refused(411, "tell the length")
    if not headers.get("content-length", "0").isdigit():
        raise Refused(400, "the length is no number")
    return words[0], words[1], headers


async def read_body(reader, headers, most):
    length = int(headers.get("content-length", "0"))
    if length > most:
        raise Refused(413, "the body is too large")
    return await asyncio.wait_for(reader.readexactly(length), BODY_SECONDS)


def bearer(headers):
    kind, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else ""


def send(writer, status, body, close=False):
    text = json.dumps(body).encode()
    writer.write(
        b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n"
        % (status, len(text), b"Connection: close\r\n" if close else b"")
        + text
    )


async def converse(agent, reader, writer):
    """Requests of one connection, one after the other."""
    first = b""
    try:
        while True:
            if not first:
                first = await asyncio.wait_for(reader.read(1), IDLE_SECONDS)
                if not first:
                    return
            request = await asyncio.wait_for(read_head(reader, first), HEAD_SECONDS)
            first = b""
            if request is None:
                return
            method, path, headers = request
            route = path.partition("?")[0]
            if route.startswith("/slipway/"):
                await control(agent, reader, writer, method, path, headers)
            else:
                first = await relay(agent, reader, writer, method, path, headers)
                if first is None:
                    return
            await writer.drain()
            if headers.get("connection", "").lower() == "close":
                return
    except Refused as refused:
        send(writer, refused.status, {"error": {"message": str(refused)}}, close=True)
    except (ValueError, KeyError, TypeError):
        send(writer, 400, {"error": {"message": "the request is malformed"}}, close=True)
    except (ConnectionError, asyncio.TimeoutError, asyncio.IncompleteReadError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def control(agent, reader, writer, method, path, headers):
    """What the control plane asks. All but the proof needs the token, which it sends only to the proven certificate."""
    route, _, query = path.partition("?")
    body = await read_body(reader, headers, ORDER_BYTES_MAX)
    if (method, route) == ("POST", "/slipway/proof"):
        nonce = bytes.fromhex(json.loads(body)["nonce"])
        if len(nonce) != 32:
            raise Refused(400, "the nonce has 32 bytes")
        return send(writer, 200, {"name": agent.config["name"], "proof": agent.proof(nonce)})
    if not agent.knows(bearer(headers)):
        raise Refused(401, "the token is wrong")
    if (method, route) == ("GET", "/slipway/state"):
        return send(writer, 200, agent.report())
    if (method, route) == ("POST", "/slipway/order"):
        take(agent, json.loads(body))
        return send(writer, 200, {"phase": agent.phase})
    if (method, route) == ("POST", "/slipway/drain"):
        drain(agent, json.loads(body)["graceMs"] / 1000.0)
        return send(writer, 200, {"phase": agent.phase})
    if (method, route) == ("GET", "/slipway/log"):
        return await send_log(agent, writer, query)
    raise Refused(404, "no such call")


async def send_log(agent, writer, query):
    """The last lines, and with follow those that come, until the engine ends or the client goes."""
    wants = dict(pair.partition("=")[::2] for pair in query.split("&"))
    tail = min(int(wants.get("tail", "100")), LOG_LINES_MAX)
    writer.write(b"HTTP/1.1 200 X\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
    position = agent.count
    write_lines(writer, list(agent.lines)[len(agent.lines) - min(tail, len(agent.lines)):])
    while wants.get("follow") == "1":
        await writer.drain()
        ended = agent.phase in ("ended", "failed")
        new = min(agent.count - position, len(agent.lines))
        position = agent.count
        write_lines(writer, list(agent.lines)[len(agent.lines) - new:])
        if ended:
            break
        async with agent.news:
            try:
                await asyncio.wait_for(agent.news.wait(), 1)
            except asyncio.TimeoutError:
                if writer.is_closing():
                    raise ConnectionResetError()
    writer.write(b"0\r\n\r\n")


def write_lines(writer, lines):
    if lines:
        text = ("\n".join(lines) + "\n").encode()
        writer.write(b"%x\r\n%s\r\n" % (len(text), text))


async def relay(agent, reader, writer, method, path, headers):
    """One exchange with the engine. Gives what was read of the next request, or None when the connection can't go on."""
    if not agent.knows_key(bearer(headers)):
        raise Refused(401, "the key is wrong")
    route = path.partition("?")[0]
    if not any(route == one or (one.endswith("/") and route.startswith(one)) for one in ENGINE_PATHS):
        raise Refused(404, "no such path")
    body = await read_body(reader, headers, BODY_BYTES_MAX)
    try:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", agent.port, limit=1 << 20)
    except OSError:
        send(writer, 503, {"error": {"message": "the engine does not answer"}})
        return b""
    next_byte = asyncio.ensure_future(reader.read(1))
    answer = asyncio.ensure_future(pass_on(up_reader, up_writer, writer, method, path, headers, body))
    try:
        await asyncio.wait({next_byte, answer}, return_when=asyncio.FIRST_COMPLETED)
        if next_byte.done() and not answer.done() and not next_byte.result():
            return None  # the client has gone, and with it the reason to go on
        if not await answer:
            return None
        return await settled(next_byte)
    finally:
        answer.cancel()
        next_byte.cancel()
        up_writer.close()


async def settled(next_byte):
    """The byte if it has come; else the read is given up, which loses nothing."""
    if next_byte.done():
        return next_byte.result() or None
    next_byte.cancel()
    try:
        return await next_byte or None
    except asyncio.CancelledError:
        return b""


async def pass_on(up_reader, up_writer, writer, method, path, headers, body):
    """The request, then the answer byte by byte. True when it was whole and the connection can be used again."""
    skipped = ("connection", "host", "keep-alive", "content-length", "expect", "upgrade")
    kept = "".join("%s: %s\r\n" % pair for pair in headers.items() if pair[0] not in skipped)
    # The engine closes after its answer, and that end is what tells that it is whole.
    head = "%s %s HTTP/1.1\r\nhost: engine\r\nconnection: close\r\n%scontent-length: %d\r\n\r\n" % (
        method, path, kept, len(body),
    )
    up_writer.write(head.encode("latin-1") + body)
    await up_writer.drain()
    answer = (await up_reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    told = {line.partition(":")[0].strip().lower(): line.partition(":")[2].strip() for line in answer[1:]}
    lines = [line for line in answer[:-2] if not line.lower().startswith(("connection:", "keep-alive:"))]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    left = int(told["content-length"]) if told.get("content-length", "").isdigit() else None
    tail = b""
    while True:
        piece = await up_reader.read(1 << 16)
        if not piece:
            break
        writer.write(piece)
        await writer.drain()
        if left is not None:
            left -= len(piece)
        else:
            tail = (tail + piece)[-5:]
    return left == 0 if left is not None else tail == b"0\r\n\r\n"


async def serve(config):
    os.makedirs(config["dir"], mode=0o700, exist_ok=True)
    os.makedirs(config["secretDir"], mode=0o700, exist_ok=True)
    context, certificate_hash = make_certificate(config["secretDir"], config["name"])
    agent = Agent(config, certificate_hash)
    open_now = 0

    async def connected(reader, writer):
        nonlocal open_now
        if open_now >= CONNECTIONS_MAX:
            writer.close()
            return
        open_now += 1
        try:
            await converse(agent, reader, writer)
        finally:
            open_now -= 1

    server = await asyncio.start_server(
        connected, config["host"], config["port"], ssl=context, limit=HEAD_BYTES_MAX, backlog=512
    )
    agent.spawn(prepare(agent))
    async with server:
        await server.serve_forever()


def main(words):
    if words[:1] == ["gpu-check"]:
        print(json.dumps(check_cuda(int(words[1]))))
    elif words[:1] == ["run"]:
        with open(words[1]) as file:
            config = json.load(file)
        asyncio.run(serve(config))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
