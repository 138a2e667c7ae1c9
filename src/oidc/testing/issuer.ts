/** A real OIDC issuer on a port of this machine, as far as an API that takes its tokens sees one: metadata, keys, tokens. */
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { type Cleanup, undoAfter } from "../../../test/support/cleanup.ts";

export interface TestIssuer {
  readonly url: string;
  /** What was asked of it so far, by path. */
  readonly asked: Readonly<Record<"metadata" | "keys", number>>;
  /** A new signing key. Published, unless told otherwise; with `replace` it is the only one that is. */
  rotate(options?: { publish?: boolean; replace?: boolean; alg?: string }): Promise<void>;
  /** Signs with the newest key. */
  token(claims?: Claims, header?: Record<string, string>): Promise<string>;
  /** What metadata and keys answer from now on, instead of themselves. */
  answer(what: "metadata" | "keys", body: string | undefined, status?: number): void;
  /** Stops answering, and answers again on the same port. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

export const AUDIENCE = "https://api.slipway.test";

/** A claim that is undefined is left out. */
type Claims = { readonly [name in keyof JWTPayload]: JWTPayload[name] | undefined };

interface Key {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: object;
  readonly published: boolean;
}

/** `now` is the issuer's clock. */
export async function testIssuer(t: Cleanup, now: () => Date): Promise<TestIssuer> {
  let keys: readonly Key[] = [];
  let made = 0;
  const asked = { metadata: 0, keys: 0 };
  const answers: Partial<Record<"metadata" | "keys", { body: string; status: number }>> = {};
  const handler: RequestListener = (request, response) => {
    const what = request.url === "/jwks" ? "keys" : "metadata";
    asked[what]++;
    const own =
      what === "keys"
        ? { keys: keys.filter((key) => key.published).map((key) => key.publicJwk) }
        : { issuer: url, jwks_uri: `${url}/jwks` };
    const { body, status } = answers[what] ?? { body: JSON.stringify(own), status: 200 };
    response.writeHead(status, { "content-type": "application/json" }).end(body);
  };
  let server = await listening(handler, 0);
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  undoAfter(t, () => closed(server));
  const rotate: TestIssuer["rotate"] = async ({ publish = true, replace = false, alg = "RS256" } = {}) => {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    const kid = `key-${++made}`;
    const publicJwk = { ...(await exportJWK(publicKey)), kid, alg, use: "sig" };
    keys = [...(replace ? [] : keys), { kid, alg, privateKey, publicJwk, published: publish }];
  };
  await rotate();
  return {
    url,
    asked,
    rotate,
    async token(claims = {}, header = {}) {
      const key = keys.at(-1);
      if (!key) throw new Error("the issuer has no key");
      const seconds = Math.floor(now().getTime() / 1_000);
      const all = { iss: url, aud: AUDIENCE, sub: "ada", iat: seconds, exp: seconds + 300, ...claims };
      const whole = { alg: key.alg, kid: key.kid, typ: "at+jwt", ...header };
      const given = Object.entries(all).filter(([, value]) => value !== undefined);
      return new SignJWT(Object.fromEntries(given)).setProtectedHeader(whole).sign(key.privateKey);
    },
    answer(what, body, status = 200) {
      if (body === undefined) delete answers[what];
      else answers[what] = { body, status };
    },
    stop: () => closed(server),
    async start() {
      server = await listening(handler, port);
    },
  };
}

async function listening(handler: RequestListener, port: number): Promise<Server> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return server;
}

async function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise<void>((resolve) => void server.close(() => resolve()));
}
