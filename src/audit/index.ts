export { ACTIONS, type AuditAction, type NewAuditEvent } from "./model.ts";
export { type AuditNotes, createAuditNotes, type Note } from "./notes.ts";
export { purgeAudit } from "./purge.ts";
export { recordAudit } from "./record.ts";
export { auditRoutes } from "./rpc.ts";
export { runAuditNotes } from "./run-notes.ts";
