/**
 * What other rooms may use of the guest: the NBD client and its streams, the self-verifying writer,
 * and the audit of an image against the writer's journal.
 */

export { type AuditReport, auditImage } from "./audit.ts";
export { readDisk, writeDisk } from "./diskStream.ts";
export { createImageReader } from "./imageReader.ts";
export { loadJournal } from "./journal.ts";
export { connectNbd, listNbdExports } from "./nbdClient.ts";
export type { NbdClient, NbdClientOptions } from "./nbdConnection.ts";
export { isIndeterminate } from "./nbdErrors.ts";
export { formatNbdUri, type NbdTarget, parseNbdUri } from "./nbdUri.ts";
export { openSteadyDisk } from "./steadyDisk.ts";
export { SvwWriter, type WriterStatus } from "./writer.ts";
