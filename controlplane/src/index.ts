export { serve } from "./serve.ts";
export type { EtcdSettings, ServeSettings } from "./settings.ts";
