export { expireCredit } from "./expire-credit.ts";
export { type CreditInput, grantCredit } from "./grant-credit.ts";
export { listCredit } from "./list-credit.ts";
export { type Credit, expiryViolations } from "./model.ts";
export { warnExpiry } from "./warn-expiry.ts";
