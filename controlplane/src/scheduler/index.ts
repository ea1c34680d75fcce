export { Scheduler, type SchedulerDependencies } from "./scheduler.ts";
