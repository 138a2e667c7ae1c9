import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ModelSchema, ModelStatus } from "../../gen/tensormesh/model/v1/model_pb.js";
import { ModelService } from "../../gen/tensormesh/model/v1/model_service_pb.js";
import { cli, controlPlane, typist } from "./testing/harness.ts";
import { MODEL_ID, MODEL_KEY } from "./testing/models.ts";

const USER_KEY = "sk-canary-canary-canary";

interface Asked {
  readonly path: string;
  readonly key: string;
  readonly body: { model: string; messages: { role: string; content: string }[]; max_tokens?: number };
}

/** A gateway that answers as the test says. */
async function gateway(
  t: Parameters<typeof cli>[0],
  answer: (asked: Asked, response: ServerResponse) => void,
) {
  const asked: Asked[] = [];
  const server = createServer(async (request: IncomingMessage, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const one = {
      path: request.url ?? "",
      key: (request.headers.authorization ?? "").replace("Bearer ", ""),
      body: JSON.parse(text),
    };
    asked.push(one);
    answer(one, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => void server.close(() => resolve()));
  });
  const address = server.address();
  return { asked, url: `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}` };
}

function stream(response: ServerResponse, words: readonly string[], finish = "stop"): void {
  response.writeHead(200, { "content-type": "text/event-stream", "slipway-request-id": "req-1" });
  for (const word of words)
    response.write(`data: ${JSON.stringify({ choices: [{ delta: { content: word } }] })}\n\n`);
  response.write(`data: ${JSON.stringify({ choices: [{ delta: {}, finish_reason: finish }] })}\n\n`);
  const usage = {
    prompt_tokens: 12,
    completion_tokens: words.length,
    prompt_tokens_details: { cached_tokens: 8 },
  };
  response.end(`data: ${JSON.stringify({ choices: [], usage })}\n\ndata: [DONE]\n\n`);
}

/** A control plane with one model whose endpoint is the gateway's. */
async function setup(t: Parameters<typeof cli>[0], answer: (asked: Asked, response: ServerResponse) => void) {
  const at = await gateway(t, answer);
  const model = create(ModelSchema, {
    modelId: MODEL_ID,
    modelName: "tiny",
    servedName: "tiny-cpu",
    status: ModelStatus.RUNNING,
    endpoint: `${at.url}/m/${MODEL_ID}/v1`,
    apiKey: MODEL_KEY,
  });
  const plane = await controlPlane(t, (router) =>
    router.service(ModelService, { getModel: () => ({ model }), listModels: () => ({ models: [model] }) }),
  );
  const slipway = await cli(t, { ...plane.env, SLIPWAY_GATEWAY_URL: at.url, SLIPWAY_API_KEY: USER_KEY });
  return { ...at, slipway };
}

test("one question over the model's own endpoint and key: the answer on stdout, the rest on stderr", async (t) => {
  const { slipway, asked } = await setup(t, (_asked, response) => stream(response, ["A ", "har", "bour."]));
  const ran = await slipway.run([
    "chat",
    "tiny",
    "-m",
    "Where to?",
    "--system",
    "Be brief.",
    "--max-tokens",
    "20",
  ]);
  assert.equal(ran.status, 0, ran.stderr);
  assert.equal(ran.stdout, "A harbour.\n");
  assert.match(ran.stderr, /12 prompt tokens, 8 of them cached; 3 answered; receipt req-1/);
  assert.deepEqual([asked[0]?.path, asked[0]?.key], [`/m/${MODEL_ID}/v1/chat/completions`, MODEL_KEY]);
  assert.deepEqual(
    [asked[0]?.body.model, asked[0]?.body.max_tokens, asked[0]?.body.messages],
    [
      "tiny-cpu",
      20,
      [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Where to?" },
      ],
    ],
  );
});

test("a piped question, and the answer as JSON", async (t) => {
  const { slipway } = await setup(t, (asked, response) =>
    stream(response, [asked.body.messages[0]?.content ?? ""], "length"),
  );
  const ran = await slipway.run(["chat", "tiny", "--output", "json"], { stdin: "from a pipe" });
  assert.deepEqual(JSON.parse(ran.stdout), {
    model: "tiny-cpu",
    content: "from a pipe",
    finishReason: "length",
    requestId: "req-1",
    usage: { promptTokens: 12, cachedTokens: 8, completionTokens: 1 },
  });
});

test("nothing is sent where there is no question", async (t) => {
  const { slipway, asked } = await setup(t, (_asked, response) => stream(response, ["?"]));
  assert.equal((await slipway.run(["chat", "tiny"], { stdin: "\n" })).status, 2);
  assert.equal((await slipway.run(["chat", "tiny", "-m", " "])).status, 2);
  assert.deepEqual(asked, []);
});

test("a catalogue model is asked at the common address with the user's key, also without a token", async (t) => {
  const { slipway, asked } = await setup(t, (_asked, response) => stream(response, ["yes"]));
  assert.equal((await slipway.run(["chat", "starter", "-m", "?"])).status, 0);
  const tokenless = await slipway.run(["chat", "starter", "-m", "?"], { env: { SLIPWAY_TOKEN: "" } });
  assert.equal(tokenless.status, 0, tokenless.stderr);
  for (const one of asked)
    assert.deepEqual([one.path, one.key, one.body.model], ["/v1/chat/completions", USER_KEY, "starter"]);
  const keyless = await slipway.run(["chat", "starter", "-m", "?"], { env: { SLIPWAY_API_KEY: "" } });
  assert.equal(keyless.status, 3);
  assert.match(keyless.stderr, /SLIPWAY_API_KEY/);
  const nowhere = await slipway.run(["chat", "starter", "-m", "?"], { env: { SLIPWAY_GATEWAY_URL: "" } });
  assert.equal(nowhere.status, 6);
  assert.match(nowhere.stderr, /SLIPWAY_GATEWAY_URL/);
});

test("each refusal of the gateway has its exit status and its reason", async (t) => {
  const refusals = [
    [400, "context_too_long", 2],
    [401, "token_invalid", 3],
    [402, "BALANCE_TOO_LOW", 6],
    [403, "not_allowed", 4],
    [404, "MODEL_NOT_FOUND", 5],
    [409, "MODEL_NOT_READY", 7],
    [429, "RATE_LIMITED", 7],
    [500, "INTERNAL", 1],
    [503, "MODEL_NOT_READY", 7],
  ] as const;
  for (const [status, code, exit] of refusals) {
    const { slipway } = await setup(t, (_asked, response) => {
      response.writeHead(status, { "content-type": "application/json", "retry-after": "3" });
      response.end(JSON.stringify({ error: { message: `refused with ${status}`, type: "x", code } }));
    });
    const ran = await slipway.run(["chat", "tiny", "-m", "?"]);
    assert.deepEqual([status, ran.status], [status, exit]);
    assert.ok(
      ran.stderr.includes(`refused with ${status}`) && ran.stderr.includes(code.toUpperCase()),
      ran.stderr,
    );
    for (const secret of [MODEL_KEY, USER_KEY]) assert.ok(!(ran.stdout + ran.stderr).includes(secret));
  }
});

test("an error in the middle of a stream, and a stream that is cut off, are failures", async (t) => {
  const broken = await setup(t, (_asked, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`data: ${JSON.stringify({ choices: [{ delta: { content: "half" } }] })}\n\n`);
    response.end(
      `data: ${JSON.stringify({ error: { message: "The engine ended.", code: "ENGINE_FAILED" } })}\n\n`,
    );
  });
  const ran = await broken.slipway.run(["chat", "tiny", "-m", "?"]);
  assert.deepEqual([ran.status, ran.stdout], [7, "half"]);
  assert.match(ran.stderr, /The engine ended\./);
  const cut = await setup(t, (_asked, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`data: ${JSON.stringify({ choices: [{ delta: { content: "half" } }] })}\n\n`, () =>
      response.destroy(),
    );
  });
  assert.equal((await cut.slipway.run(["chat", "tiny", "-m", "?"])).status, 7);
});

test("words of a model can't steer the terminal", async (t) => {
  const { slipway } = await setup(t, (_asked, response) => stream(response, ["a\u001b]0;owned\u0007b"]));
  assert.equal((await slipway.run(["chat", "tiny", "-m", "?"])).stdout, "a]0;ownedb\n");
});

test("a conversation carries what was said, until it is reset, and goes on after a refusal", async (t) => {
  let count = 0;
  const { slipway, asked } = await setup(t, (_asked, response) => {
    count++;
    if (count === 3)
      response.writeHead(503).end(JSON.stringify({ error: { message: "busy", code: "MODEL_NOT_READY" } }));
    else stream(response, [`answer ${count}`]);
  });
  const person = typist();
  const questions = ["one", "two", "three", "/reset", "four"];
  const next = () => {
    const question = questions.shift();
    if (question === undefined) person.leave();
    else person.type(question);
  };
  let prompts = 0;
  const isTty = { stdin: true };
  const ran = await slipway.run(["chat", "tiny"], {
    stdin: person.stream,
    isTty,
    onPrompt: () => {
      prompts++;
      setImmediate(next);
    },
  });
  assert.equal(ran.status, 0, ran.stderr);
  assert.ok(prompts >= 5);
  assert.deepEqual(
    asked.map((one) => one.body.messages.map((message) => message.content)),
    [["one"], ["one", "answer 1", "two"], ["one", "answer 1", "two", "answer 2", "three"], ["four"]],
  );
  assert.match(ran.stderr, /busy/);
});
