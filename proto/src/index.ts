export type * from "../gen/api.ts";
export { isCancellation, type StatusReason, TesseraError } from "./error.ts";
