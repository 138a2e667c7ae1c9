import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { StatusError } from "../base/status.ts";
import { isRepositoryPath, parseSource } from "./source.ts";

test("hub ids are read with and without revision and file", () => {
  const hub = { kind: "hub", repo: "org/re.po-1", revision: "main", file: "" };
  assert.deepEqual(parseSource("org/re.po-1"), hub);
  assert.deepEqual(parseSource("org/re.po-1@v1.0"), { ...hub, revision: "v1.0" });
  assert.deepEqual(parseSource("org/re.po-1:a/b.gguf"), { ...hub, file: "a/b.gguf" });
  assert.deepEqual(parseSource("org/re.po-1@refs/pr/3:m.gguf"), {
    ...hub,
    revision: "refs/pr/3",
    file: "m.gguf",
  });
});

test("files and built-in weights are read", () => {
  assert.deepEqual(parseSource("file:///models/a%20b.gguf"), { kind: "file", path: "/models/a b.gguf" });
  assert.deepEqual(parseSource("builtin://tiny"), { kind: "builtin", name: "tiny", seed: 1 });
  assert.deepEqual(parseSource("builtin://tiny?seed=7"), { kind: "builtin", name: "tiny", seed: 7 });
});

for (const text of [
  "",
  "gpt2",
  "/etc/passwd",
  "../x/y",
  "org/..",
  "org/repo/more",
  "org/repo@",
  "org/repo@../x",
  "org/repo@a/../b",
  "org/repo:",
  "org/repo:../secret.gguf",
  "org/repo:/abs.gguf",
  "org/repo:a//b.gguf",
  "org/repo:a\\b.gguf",
  "org/repo:a\nb.gguf",
  "org/repo?x=1",
  "https://evil.example/x",
  "file://host/share/model.gguf",
  "file:///a%2fb.gguf",
  "builtin://tiny?seed=-1",
  "builtin://tiny?seed=1e9",
  "builtin:///tiny",
  `org/${"x".repeat(2_000)}`,
]) {
  test(`${JSON.stringify(text.slice(0, 40))} is refused with the accepted forms`, () => {
    assert.throws(
      () => parseSource(text),
      (error) =>
        error instanceof StatusError &&
        error.reason === "WEIGHTS_NOT_FOUND" &&
        error.code === "INVALID_ARGUMENT" &&
        error.message.length < 500,
    );
  });
}

test("whatever is accepted as a hub source can't climb out of its repository", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.string(), (revision, file) => {
      try {
        const source = parseSource(`org/repo@${revision}:${file}`);
        if (source.kind !== "hub") return false;
        return isRepositoryPath(source.file) && isRepositoryPath(source.revision);
      } catch (error) {
        return error instanceof StatusError;
      }
    }),
  );
});
