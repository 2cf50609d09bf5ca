/** What wan exports: its configuration, for whoever plans a lab. */

export { type LinkConfig, parseWanConfig, type WanConfig } from "./config.ts";
