export { type Environment, runProgram } from "./program.ts";
export { readSettings, type Settings } from "./settings.ts";
