/** Days of UTC as the user names them: a month, or a first and a last day. */
import { type Timestamp, timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Command, InvalidArgumentError, Option } from "commander";

const DAY_MS = 86_400_000;

export interface DaysOptions {
  /** Start of the month. */
  readonly month?: Date;
  /** Start of the first day. */
  readonly from?: Date;
  /** Start of the last day, which counts too. */
  readonly to?: Date;
}

export function withDaysOptions(command: Command): Command {
  return command
    .addOption(new Option("--month <month>", "a month (UTC), such as 2026-03").argParser(parseMonth))
    .addOption(
      new Option("--from <day>", "first day (UTC); 30 days before the last one unless given")
        .argParser(parseDay)
        .conflicts("month"),
    )
    .addOption(
      new Option("--to <day>", "last day (UTC); today unless given").argParser(parseDay).conflicts("month"),
    );
}

/** The request's times; the end is the midnight after the last day. */
export function daysOf(options: DaysOptions): {
  readonly startTime?: Timestamp;
  readonly endTime?: Timestamp;
} {
  const { month, from, to } = options;
  if (month) {
    const next = new Date(Date.UTC(month.getUTCFullYear(), month.getUTCMonth() + 1));
    return { startTime: timestampFromDate(month), endTime: timestampFromDate(next) };
  }
  return {
    ...(from && { startTime: timestampFromDate(from) }),
    ...(to && { endTime: timestampFromDate(new Date(to.getTime() + DAY_MS)) }),
  };
}

/** "2026-03-01"; "-" where there is none. */
export function day(value: Timestamp | undefined): string {
  return value === undefined ? "-" : timestampDate(value).toISOString().slice(0, 10);
}

/** The last day before a midnight: "2026-03-31" of 2026-04-01. */
export function lastDay(end: Timestamp | undefined): string {
  return end === undefined ? "-" : day(timestampFromDate(new Date(timestampDate(end).getTime() - 1)));
}

function parseMonth(text: string): Date {
  if (!/^\d{4}-\d\d$/.test(text)) throw new InvalidArgumentError("Give a month such as 2026-03.");
  return parseDay(`${text}-01`);
}

/** A day that the calendar has: the 30th of February is none. */
function parseDay(text: string): Date {
  const date = new Date(`${text}T00:00:00Z`);
  if (
    /^\d{4}-\d\d-\d\d$/.test(text) &&
    !Number.isNaN(date.getTime()) &&
    date.toISOString().startsWith(text)
  ) {
    return date;
  }
  throw new InvalidArgumentError("Give a day such as 2026-03-01.");
}
