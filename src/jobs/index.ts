export { type PeriodicJob, runDueJobs, runPeriodicJobs } from "./periodic.ts";
