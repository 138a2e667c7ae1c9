import type { Command } from "commander";
import {
  type AccessVerdict,
  CardState,
  type FitVerdict,
  type MoneyVerdict,
  type PlaceCandidate,
  type PlaceVerdict,
  type PreflightAlternative,
  type PreflightModelResponse,
  PreflightModelResponseSchema,
  PreflightService,
  Room,
  type TimeVerdict,
} from "../../../gen/slipway/model/v1/preflight_service_pb.js";
import { CloudProvider } from "../../../gen/tensormesh/common/v1/cloud_provider_pb.js";
import { codeName } from "../../client/index.ts";
import { EXIT, exitStatusOf } from "../exit-codes.ts";
import { bytes, duration, money } from "../human.ts";
import type { CliIo } from "../io.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import { facts, table } from "../table.ts";
import { hardware } from "../wire-words.ts";
import { type DeployOptions, deployRequest, withDeployOptions } from "./deploy-request.ts";

export function addPreflight(program: Command, io: CliIo): void {
  const command = program.command("preflight").description("tell what a deploy would do, and change nothing");
  withCommonOptions(withDeployOptions(command)).action(
    (weights: string | undefined, options: DeployOptions) =>
      run(io, options, (session) => preflight(session, weights, options)),
  );
}

async function preflight(
  session: Session,
  weights: string | undefined,
  options: DeployOptions,
): Promise<number> {
  const deploy = await deployRequest(session, weights, options);
  const answer = await session.client(PreflightService).preflightModel({ deploy });
  session.output.message(PreflightModelResponseSchema, answer, () => textOf(answer));
  // The verdict is the command's result: scripts read it from the exit status, as of the deploy itself.
  const [first] = answer.problems;
  if (answer.ok) return EXIT.OK;
  return exitStatusOf(first === undefined ? "FAILED_PRECONDITION" : codeName(first.code));
}

function textOf(answer: PreflightModelResponse): string {
  return [
    answer.ok ? "It would be accepted.\n" : "It would be refused.\n",
    ...answer.problems.map((problem) => `  ${problem.reason}: ${problem.message}\n`),
    section("Money", answer.money && moneyText(answer.money)),
    section("Memory", answer.fit && fitText(answer.fit)),
    section("Weights", answer.access && accessText(answer.access)),
    section("Places", answer.place && placeText(answer.place)),
    section("Time", answer.time && timeText(answer.time)),
    section("Instead", answer.alternative && insteadText(answer.alternative)),
  ].join("");
}

function section(title: string, body: string | undefined): string {
  return body ? `\n${title}\n${body.replace(/^(?=.)/gm, "  ")}` : "";
}

function moneyText(verdict: MoneyVerdict): string {
  const runway = verdict.runwaySeconds === undefined ? "" : duration(Number(verdict.runwaySeconds));
  return facts([
    ["price per hour", money(verdict.pricePerHour)],
    ["held at first", money(verdict.hold)],
    ["available", money(verdict.available)],
    ["lasts", runway],
    ["note", verdict.runwayWarning],
    ["card", (CardState[verdict.card] ?? "").toLowerCase().replaceAll("_", " ")],
  ]);
}

function fitText(verdict: FitVerdict): string {
  const lines: (readonly [string, string])[] = verdict.lines.map((line) => [line.item, bytes(line.bytes)]);
  const tokens = (count: bigint) => (count > 0n ? `${count} tokens` : "");
  return facts([
    ...lines,
    ["needed", verdict.neededBytes > 0n ? bytes(verdict.neededBytes) : ""],
    ["available", verdict.availableBytes > 0n ? bytes(verdict.availableBytes) : ""],
    ["context", tokens(verdict.contextTokens)],
    ["largest", tokens(verdict.contextMaxTokens)],
    ["engine", verdict.engine],
  ]);
}

function accessText(verdict: AccessVerdict): string {
  return facts([
    ["found", verdict.exists ? (verdict.gated ? "yes, gated" : "yes") : "no"],
    ["size", verdict.sizeBytes > 0n ? bytes(verdict.sizeBytes) : ""],
    ["revision", verdict.revision],
    ["", verdict.message],
  ]);
}

function placeText({ candidates, chosen, storageWarning }: PlaceVerdict): string {
  const isChosen = (one: PlaceCandidate) =>
    chosen !== undefined && one.cloudProvider === chosen.cloudProvider && one.region === chosen.region;
  const warning = storageWarning === "" ? "" : `note: ${storageWarning}\n`;
  const places = table(
    [{ title: "PLACE" }, { title: "HARDWARE" }, { title: "PER HOUR", right: true }, { title: "VERDICT" }],
    candidates.map((one) => [
      `${CloudProvider[one.cloudProvider]}/${one.region}`,
      hardware(one.gpuCount, one.gpuType),
      money(one.pricePerHour),
      one.possible
        ? `${isChosen(one) ? "chosen" : "possible"}${roomText(one.room)}`
        : `${one.reason}: ${one.message}`,
    ]),
  );
  return `${places}${warning}`;
}

function roomText(room: Room): string {
  if (room === Room.UNSPECIFIED) return "";
  return room === Room.NOW ? ", has room" : ", no room at the moment";
}

function insteadText(alternative: PreflightAlternative): string {
  const changes = alternative.changes.map((one): [string, string] => [one.field, one.value || "left out"]);
  return facts([
    ...changes,
    ["price per hour", money(alternative.pricePerHour)],
    ["held at first", money(alternative.hold)],
  ]);
}

function timeText(verdict: TimeVerdict): string {
  return facts([
    ["first answer in", verdict.ok ? `about ${duration(Number(verdict.readySeconds))}` : "unknown"],
    ["at most", verdict.starts > 1 ? `${duration(Number(verdict.readySecondsP95))} (95 of 100 starts)` : ""],
    ["to download", verdict.downloadBytes > 0n ? bytes(verdict.downloadBytes) : ""],
    ["", verdict.message],
  ]);
}
