/** The wire of the journal. */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type AdminJournalService,
  JournalLineSchema,
  ListJournalLinesResponseSchema,
} from "../../gen/slipway/billing/v1/admin_journal_service_pb.js";
import { parsePage } from "../base/page.ts";
import { callCtx, type RoutesDeps } from "../identity/index.ts";
import { moneyToWire } from "./convert.ts";
import { accountCode, type JournalRow, journalQuery, listJournalLines } from "./journal/index.ts";

export function journalService(deps: RoutesDeps): ServiceImpl<typeof AdminJournalService> {
  return {
    async listJournalLines(request, context) {
      const { month } = request;
      const page = parsePage(request, journalQuery(month));
      const { rows, nextPageToken } = await listJournalLines(callCtx(deps, context), month, page);
      return create(ListJournalLinesResponseSchema, { lines: rows.map(lineToWire), nextPageToken });
    },
  };
}

function lineToWire(row: JournalRow) {
  const { currency, nanos } = row;
  return create(JournalLineSchema, {
    transferId: row.transferId.toString(),
    line: row.line,
    bookedAt: timestampFromDate(row.at),
    code: row.code,
    accountCode: accountCode(row.kind),
    accountKind: row.kind,
    userId: row.ownerId ?? "",
    debit: moneyToWire(nanos < 0n ? -nanos : 0n, currency),
    credit: moneyToWire(nanos > 0n ? nanos : 0n, currency),
    key: row.key,
  });
}
