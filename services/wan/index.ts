/** What wan exports: its configuration, for whoever plans a lab. */

export { checkSettings, type LinkConfig, parseWanConfig, type WanConfig } from "./config.ts";
