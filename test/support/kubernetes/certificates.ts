/** A certificate authority of a test cluster's own, and what it signs. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
/** A test run is shorter. */
const DAYS = "2";
const EC_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

export interface KeyPair {
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** Makes `ca.crt` and `ca.key` in the folder. */
export async function createAuthority(folder: string): Promise<KeyPair> {
  const pair = pairIn(folder, "ca");
  await openssl(["req", "-x509", ...EC_KEY, "-days", DAYS, "-subj", "/CN=slipway-test-ca", ...outputs(pair)]);
  return pair;
}

/** A certificate for server and client use; `groups` become its organizations, as Kubernetes reads them. */
export async function issue(
  folder: string,
  authority: KeyPair,
  subject: {
    readonly name: string;
    readonly groups?: readonly string[];
    readonly addresses: readonly string[];
  },
): Promise<KeyPair> {
  const pair = pairIn(folder, subject.name.replaceAll(":", "-"));
  const extensions = join(folder, `${subject.name.replaceAll(":", "-")}.ext`);
  const names = subject.addresses.map((one) => (/^[0-9.]+$/.test(one) ? `IP:${one}` : `DNS:${one}`));
  await writeFile(
    extensions,
    `subjectAltName=${names.join(",")}\nextendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n`,
  );
  const subjectText = `${(subject.groups ?? []).map((group) => `/O=${group}`).join("")}/CN=${subject.name}`;
  const request = join(folder, `${subject.name.replaceAll(":", "-")}.csr`);
  await openssl(["req", ...EC_KEY, "-subj", subjectText, "-keyout", pair.keyFile, "-out", request]);
  await openssl([
    ...["x509", "-req", "-in", request, "-days", DAYS, "-CA", authority.certificateFile],
    ...["-CAkey", authority.keyFile, "-CAcreateserial", "-extfile", extensions, "-out", pair.certificateFile],
  ]);
  return pair;
}

/** An RSA key, for tokens of service accounts. */
export async function createSigningKey(folder: string): Promise<string> {
  const file = join(folder, "service-accounts.key");
  await openssl(["genrsa", "-out", file, "2048"]);
  return file;
}

function pairIn(folder: string, name: string): KeyPair {
  return { certificateFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) };
}

function outputs(pair: KeyPair): string[] {
  return ["-keyout", pair.keyFile, "-out", pair.certificateFile];
}

async function openssl(args: readonly string[]): Promise<void> {
  await run("openssl", args);
}
