import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { bodyOf, rawClient } from "../../test/support/gateway/raw-client.ts";
import { rawChunks } from "./raw-chunks.ts";

test("this Node still lets chunk framing through as it is, and keeps the connection", async (t) => {
  const server = createServer((request, response) => {
    assert.equal(rawChunks.possible(response), request.httpVersion === "1.1");
    rawChunks.writeHead(response, 200, { "content-type": "text/plain" });
    response.write("5;x=y\r\nhello\r\n");
    response.write("1\r\n");
    response.write("!\r\n");
    if (request.url === "/end") rawChunks.end(response, "bye é");
    else response.end("0\r\n\r\n");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const client = rawClient((server.address() as AddressInfo).port);
  client.socket.write("GET /plain HTTP/1.1\r\nhost: x\r\n\r\n");
  const plain = await client.until((text) => text.endsWith("0\r\n\r\n"));
  assert.equal(bodyOf(plain), "5;x=y\r\nhello\r\n1\r\n!\r\n0\r\n\r\n");
  client.socket.write("GET /end HTTP/1.1\r\nhost: x\r\n\r\n");
  const both = await client.until((text) => text.length > plain.length && text.endsWith("0\r\n\r\n"));
  const ended = Buffer.from(bodyOf(both.slice(plain.length)), "latin1").toString("utf8");
  assert.equal(ended, "5;x=y\r\nhello\r\n1\r\n!\r\n6\r\nbye é\r\n0\r\n\r\n");
  client.socket.destroy();
});
