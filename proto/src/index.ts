export type * from "../gen/api.ts";
export { isCancellation, type StatusReason, TesseraError } from "./error.ts";
export {
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  isQuantity,
  type QuantityFormat,
  quantityMilliValue,
  quantityValue,
} from "./quantity.ts";
