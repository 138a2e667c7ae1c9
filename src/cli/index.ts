import tab from "@bomb.sh/tab/commander";
import type { Command } from "commander";
import { addActivities } from "./commands/activities.ts";
import { addAdminAdjust } from "./commands/admin-adjust.ts";
import { addAdminAudit } from "./commands/admin-audit.ts";
import { addAdminCatalog, addCatalog } from "./commands/admin-catalog.ts";
import { addAdminCosts } from "./commands/admin-costs.ts";
import { addAdminCredit } from "./commands/admin-credit.ts";
import { addAdminJournal } from "./commands/admin-journal.ts";
import { addAdminPrices } from "./commands/admin-prices.ts";
import { addAdminRefund } from "./commands/admin-refund.ts";
import { addAdminSpending } from "./commands/admin-spending.ts";
import { addAdminUsers } from "./commands/admin-users.ts";
import { addAutoTopUp } from "./commands/auto-topup.ts";
import { addBalance } from "./commands/balance.ts";
import { addBill } from "./commands/bill.ts";
import { addBudgets } from "./commands/budgets.ts";
import { addChat } from "./commands/chat.ts";
import { addInvoices } from "./commands/invoices.ts";
import { addKeys } from "./commands/keys.ts";
import { addLogin } from "./commands/login.ts";
import { addChanges } from "./commands/models-change.ts";
import { addDeploy } from "./commands/models-deploy.ts";
import { addEvents } from "./commands/models-events.ts";
import { addGet } from "./commands/models-get.ts";
import { addList } from "./commands/models-list.ts";
import { addLogs } from "./commands/models-logs.ts";
import { addMetrics } from "./commands/models-metrics.ts";
import { addUpdate } from "./commands/models-update.ts";
import { addWait } from "./commands/models-wait.ts";
import { addPaymentRecords } from "./commands/payment-records.ts";
import { addPreflight } from "./commands/preflight.ts";
import { addProfile } from "./commands/profile.ts";
import { addReceipts } from "./commands/receipts.ts";
import { addSpending } from "./commands/spending.ts";
import { addStorage } from "./commands/storage.ts";
import { addTerms } from "./commands/terms.ts";
import { addTickets } from "./commands/tickets.ts";
import { addTransactions } from "./commands/transactions.ts";
import { addUsage } from "./commands/usage.ts";
import { addWebhooks } from "./commands/webhooks.ts";
import type { CliIo } from "./io.ts";
import { withUsageErrors } from "./usage-errors.ts";

export type { CliIo } from "./io.ts";

/** Adds the commands that speak over the wire, and the completion of all commands that `program` has by then. */
export function addWireCommands(program: Command, io: CliIo): void {
  addLogin(program, io);
  addModels(program, io);
  addPreflight(program, io);
  addChat(program, io);
  addKeys(program, io);
  addProfile(program, io);
  addTerms(program, io);
  addBalance(program, io);
  addAutoTopUp(program, io);
  addBudgets(program, io);
  addPaymentRecords(program, io);
  addTransactions(program, io);
  addReceipts(program, io);
  addBill(program, io);
  addInvoices(program, io);
  addSpending(program, io);
  addUsage(program, io);
  addCatalog(program, io);
  addStorage(program, io);
  addTickets(program, io);
  addWebhooks(program, io);
  addActivities(program, io);
  addAdmin(program, io);
  tab(program, { completionCommandName: "completion" });
  withUsageErrors(program, io);
}

function addModels(program: Command, io: CliIo): void {
  const models = program.command("models").description("deploy models and look after them");
  addDeploy(models, io);
  addList(models, io);
  addGet(models, io);
  addWait(models, io);
  addEvents(models, io);
  addLogs(models, io);
  addMetrics(models, io);
  addUpdate(models, io);
  addChanges(models, io);
}

function addAdmin(program: Command, io: CliIo): void {
  // The commands of the host may have made it already.
  const known = program.commands.find((command) => command.name() === "admin");
  const admin = known ?? program.command("admin").description("administration");
  addAdminUsers(admin, io);
  addAdminCredit(admin, io);
  addAdminAdjust(admin, io);
  addAdminRefund(admin, io);
  addAdminSpending(admin, io);
  addAdminPrices(admin, io);
  addAdminCosts(admin, io);
  addAdminJournal(admin, io);
  addAdminCatalog(admin, io);
  addAdminAudit(admin, io);
}
