import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FramingError, parseHead } from "./answer-head.ts";
import { ChunkFollower } from "./chunks.ts";

const chunk = (bytes: Uint8Array, extension: string) =>
  Buffer.concat([Buffer.from(`${bytes.length.toString(16)}${extension}\r\n`), bytes, Buffer.from("\r\n")]);

const chunks = fc.array(
  fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.constantFrom("", ";a=b", ";x")),
  { maxLength: 6 },
);

test("framing is followed to its end and its payload found, however the bytes are cut", () => {
  fc.assert(
    fc.property(chunks, fc.array(fc.nat(), { maxLength: 10 }), fc.string(), (all, cuts, surplus) => {
      const body = Buffer.concat([
        ...all.map(([bytes, extension]) => chunk(bytes, extension)),
        Buffer.from("0\r\n\r\n"),
      ]);
      const bytes = Buffer.concat([body, Buffer.from(surplus)]);
      const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1))), bytes.length].sort(
        (a, b) => a - b,
      );
      const follower = new ChunkFollower();
      const payload: Buffer[] = [];
      let from = 0;
      let mine = 0;
      for (const to of places) {
        const piece = bytes.subarray(from, to);
        mine += follower.follow(piece, (start, end) => void payload.push(piece.subarray(start, end)));
        from = to;
        assert.equal(follower.done, mine === body.length);
      }
      assert.equal(mine, body.length, "surplus bytes are not taken");
      assert.deepEqual(Buffer.concat(payload), Buffer.concat(all.map(([one]) => one)));
    }),
  );
});

test("a boundary is told between two chunks and nowhere else", () => {
  const bytes = Buffer.from("3\r\nabc\r\n5;x\r\nhello\r\n0\r\n\r\n");
  const follower = new ChunkFollower();
  const boundaries: number[] = follower.atBoundary ? [0] : [];
  for (let i = 0; i < bytes.length; i++) {
    follower.follow(bytes.subarray(i, i + 1));
    if (follower.atBoundary) boundaries.push(i + 1);
  }
  assert.deepEqual(boundaries, [0, 8, 20]);
});

test("any other bytes are refused or wait, and never pass as an end", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(..."0123456789abcXYZ;\r\n -+"), maxLength: 30 }),
      (text) => {
        const follower = new ChunkFollower();
        let error: unknown;
        try {
          follower.follow(Buffer.from(text));
        } catch (thrown) {
          error = thrown;
        }
        assert.ok(error === undefined || error instanceof FramingError);
        const wellFormed = /^(?:[0-9a-fA-F]{1,10}(?:;[^\r\n]*)?\r\n)/.test(text);
        if (follower.done) assert.ok(wellFormed);
      },
    ),
  );
});

test("a head tells its status, its framing and whether the connection lasts", () => {
  const parse = (fields: string, line = "HTTP/1.1 200 OK") => parseHead(`${line}${fields}`);
  const length = parse("\r\nContent-Length: 5\r\nContent-Type:  application/json ");
  assert.deepEqual(length, {
    status: 200,
    contentType: "application/json",
    retryAfter: "",
    length: 5,
    keepAlive: true,
  });
  assert.equal(parse("\r\nTransfer-Encoding: chunked").length, -1);
  assert.equal(parse("\r\ncontent-length: 5\r\nConnection: close").keepAlive, false);
  assert.equal(parse("\r\ncontent-length: 5", "HTTP/1.0 200").keepAlive, false);
  assert.equal(parse("\r\ncontent-length: 5\r\nconnection: keep-alive", "HTTP/1.0 200").keepAlive, true);
  assert.equal(parse("\r\ncontent-length: 5\r\ncontent-length: 5").length, 5);
  assert.equal(parse("", "HTTP/1.1 204 No Content").length, 0);
  for (const broken of ["\r\ncontent-length: 5 5", "\r\ncontent-length: 0x5", "\r\n: x", "\r\nno colon", ""])
    assert.throws(() => parse(broken), FramingError);
  assert.throws(() => parse("\r\ncontent-length: 5", "HTTP/2 200"), FramingError);
});
