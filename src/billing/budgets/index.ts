export { budgetExceeded } from "./errors.ts";
export { budgetSubjects, listBudgets } from "./list-budgets.ts";
export {
  BUDGET_KINDS,
  BUDGET_PERIODS,
  type Budget,
  type BudgetKind,
  type BudgetPeriod,
  type BudgetSubject,
  type BudgetUse,
  budgetName,
  leftOf,
  type Purpose,
  periodOf,
  tightestOf,
} from "./model.ts";
export { type BudgetInput, removeBudget } from "./remove-budget.ts";
export { holdUnderBudgets, readBudgets, recallBudget } from "./reserve.ts";
export { budgetRoomSince } from "./room-since.ts";
export { BUDGETS_MAX, type NewBudget, setBudget } from "./set-budget.ts";
export { reserveInBudgets } from "./store.ts";
