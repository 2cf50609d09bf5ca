/** What genesis exports: its layout, and the records it keeps, for whoever plans or ends a lab. */

export { findUnrecorded } from "./adoption.ts";
export { diskOrderFile } from "./diskOrders.ts";
export { type Layout, parseLayout, type ServiceSpec } from "./layout.ts";
export { readRecords } from "./processRecords.ts";
