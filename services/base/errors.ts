/**
 * Every operating failure that antipode reports, with one table that maps its stable code to a gRPC
 * status, an NBD errno, an exit code and what to do. services/docs/ERRORS.md lists the same codes; a
 * test compares the two.
 *
 * Expected outcomes of a protocol step are returned unions, not errors; bugs are InvariantViolation.
 */

/** When trying again can help: not at all, after a while, or at another CVM or copy. */
export type Retry = "never" | "later" | "elsewhere";

/** gRPC status codes that antipode uses, by number. */
export const grpcStatus = {
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
} as const;
export type GrpcStatusName = keyof typeof grpcStatus;

/** Linux errno values that an NBD reply can carry. */
export const nbdErrno = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;
export type NbdErrnoName = keyof typeof nbdErrno;

/** Exit codes of the CLI. 0 is success; 1 an unexpected failure (a bug). */
export const exitCode = {
  usage: 2,
  notFound: 3,
  conflict: 4,
  unavailable: 5,
  corrupt: 6,
  full: 7,
  environment: 8,
  checkFailed: 9,
} as const;
export type ExitName = keyof typeof exitCode;

interface ErrorRow {
  readonly grpc: GrpcStatusName;
  readonly nbd: NbdErrnoName;
  readonly exit: ExitName;
  readonly retry: Retry;
  /** A sentence that tells a person what to do next. */
  readonly remedy: string;
}

const row = (
  grpc: GrpcStatusName,
  nbd: NbdErrnoName,
  exit: ExitName,
  retry: Retry,
  remedy: string,
): ErrorRow => ({ grpc, nbd, exit, retry, remedy });

/** Rows of one kind; the sentence is what differs. */
const kind =
  (grpc: GrpcStatusName, nbd: NbdErrnoName, exit: ExitName, retry: Retry) =>
  (remedy: string): ErrorRow =>
    row(grpc, nbd, exit, retry, remedy);

const badInput = kind("invalidArgument", "EINVAL", "usage", "never");
/** A name that nothing has. */
const notFound = kind("notFound", "EINVAL", "notFound", "never");
/** A name that something has already. */
const exists = kind("alreadyExists", "EINVAL", "conflict", "never");
/** Not while things are as they are. */
const refused = kind("failedPrecondition", "EPERM", "conflict", "never");
const unavailable = kind("unavailable", "EIO", "unavailable", "later");
/** One copy of several. */
const corruptCopy = kind("dataLoss", "EIO", "corrupt", "elsewhere");

/** Code → what it means at every edge. Codes are stable: scripts match on them. */
export const errorTable = {
  INVALID_ARGUMENT: badInput("Correct the named argument; --help shows examples."),
  NAME_INVALID: badInput(
    "Use a letter, then letters, digits, '-', '_' or '.', 63 characters at most.",
  ),
  SIZE_INVALID: badInput(
    "Give a size such as 512MiB or 10GiB, a multiple of 512 bytes, at least 1 MiB and at most 64 TiB.",
  ),
  OUT_OF_RANGE: row("outOfRange", "EINVAL", "usage", "never", "Stay inside the vDisk's size."),
  SITE_NOT_FOUND: notFound("List the sites with `antipode site list`."),
  CVM_NOT_FOUND: notFound("List the CVMs with `antipode lab status`."),
  CONTAINER_NOT_FOUND: notFound("List the containers with `antipode container list`."),
  CONTAINER_EXISTS: exists("Choose another name, or use the container that exists."),
  CONTAINER_IN_USE: refused("Delete its vDisks first: `antipode vdisk list`."),
  VDISK_NOT_FOUND: notFound("List the vDisks with `antipode vdisk list`."),
  VDISK_EXISTS: exists("Choose another name, or delete the vDisk that exists."),
  VDISK_IN_USE: refused(
    "Take the vDisk out of its protection domain and disconnect its clients first.",
  ),
  PD_NOT_FOUND: notFound("List the protection domains with `antipode pd list`."),
  PD_EXISTS: exists("Choose another name, or use the protection domain that exists."),
  PD_EMPTY: row(
    "failedPrecondition",
    "EINVAL",
    "conflict",
    "never",
    "Protect a vDisk first: `antipode pd protect`.",
  ),
  PD_NOT_ACTIVE: refused(
    "Run this at the site where the protection domain is active; `antipode pd show` names it.",
  ),
  PD_ALREADY_ACTIVE: refused(
    "Nothing to do when it is active here; `pd activate --force` takes it over from the other site.",
  ),
  PD_IN_USE: refused("End its jobs, unprotect its vDisks and delete its recovery points first."),
  RECOVERY_POINT_EXISTS: exists("Choose another name, or leave it out."),
  SIGNATURE_INVALID: row(
    "dataLoss",
    "EIO",
    "corrupt",
    "never",
    "The recovery point was not signed by the site that it names, or was changed since; do not use it.",
  ),
  RECOVERY_POINT_NOT_FOUND: notFound(
    "List the recovery points with `antipode recovery-point list`.",
  ),
  RECOVERY_POINT_HELD: row(
    "failedPrecondition",
    "EPERM",
    "conflict",
    "later",
    "A replication job uses it; wait for the job or look at `antipode job list`.",
  ),
  RECOVERY_POINT_INCOMPLETE: row(
    "failedPrecondition",
    "EIO",
    "conflict",
    "later",
    "The target does not hold every root yet; let the replication finish.",
  ),
  REMOTE_NOT_FOUND: notFound("List the remote sites with `antipode remote list`."),
  REMOTE_EXISTS: exists("Choose another name, or delete the remote site that exists."),
  REMOTE_IDENTITY_CHANGED: row(
    "permissionDenied",
    "EPERM",
    "conflict",
    "never",
    "Another site answers under a known name. If it was made anew, delete the remote site here and create it again.",
  ),
  JOB_NOT_FOUND: notFound("List the jobs with `antipode job list`."),
  CUT_VOID: row(
    "aborted",
    "EIO",
    "unavailable",
    "later",
    "The vDisks could not be held at one instant; it was tried several times. Check that all owners answer.",
  ),
  NOT_LEADER: row(
    "unavailable",
    "EIO",
    "unavailable",
    "elsewhere",
    "Ask the leader; the message names it.",
  ),
  NO_LEADER: unavailable("An election is under way; try again in a few seconds."),
  STALE_EPOCH: row(
    "aborted",
    "ESHUTDOWN",
    "unavailable",
    "elsewhere",
    "Another owner or leader has taken over; ask it instead.",
  ),
  NOT_OWNER: row("aborted", "ESHUTDOWN", "unavailable", "elsewhere", "Ask the owner of the vDisk."),
  OWNER_UNAVAILABLE: unavailable(
    "The owner does not answer and no peer has taken over yet; try again.",
  ),
  PEERS_UNAVAILABLE: unavailable(
    "Too few CVMs answer to keep every copy, or to read one; start them with `antipode lab up`.",
  ),
  COORDINATOR_UNAVAILABLE: unavailable(
    "The site's etcd does not answer; check it with `antipode lab status`.",
  ),
  COORDINATOR_CONFLICT: row(
    "aborted",
    "EIO",
    "conflict",
    "later",
    "Somebody changed the same record at the same time; try again.",
  ),
  COORDINATOR_CORRUPT: row(
    "dataLoss",
    "EIO",
    "corrupt",
    "never",
    "The embedded etcd's log is damaged before its end; restore its data folder from a copy, or start a new lab.",
  ),
  COORDINATOR_BEHIND: row(
    "dataLoss",
    "EIO",
    "corrupt",
    "never",
    "The site's etcd is older than the disks: give it its newest data back, or activate the protection domain at the other site.",
  ),
  REMOTE_UNAVAILABLE: unavailable(
    "The other site does not answer; check the link with `antipode link show`.",
  ),
  PEER_UNREACHABLE: row(
    "unavailable",
    "EIO",
    "unavailable",
    "elsewhere",
    "The named process does not answer; check `antipode lab status`.",
  ),
  PEER_REFUSED: row(
    "unknown",
    "EIO",
    "unavailable",
    "never",
    "The named process answered with an error that is not antipode's own; the message says which.",
  ),
  DEADLINE_EXCEEDED: row(
    "deadlineExceeded",
    "EIO",
    "unavailable",
    "later",
    "The answer took too long; check `antipode lab status`.",
  ),
  CANCELLED: row("cancelled", "EIO", "unavailable", "never", "The caller went away."),
  OVERLOADED: row(
    "resourceExhausted",
    "ENOMEM",
    "unavailable",
    "later",
    "A queue is full; slow down or try again.",
  ),
  OPLOG_FULL: row(
    "resourceExhausted",
    "EIO",
    "unavailable",
    "later",
    "The oplog cannot drain; check that etcd and the CVMs answer.",
  ),
  CHUNK_NOT_FOUND: row(
    "notFound",
    "EIO",
    "corrupt",
    "never",
    "A chunk was lost with its last copy; take the disk from a recovery point at another site.",
  ),
  CHUNK_CORRUPT: corruptCopy("A copy failed its check and is not used; another copy serves."),
  EGROUP_CORRUPT: corruptCopy(
    "A file of the extent store is damaged; the other copies serve. FORMAT.md describes the file.",
  ),
  OPLOG_CORRUPT: corruptCopy(
    "A file of the oplog is damaged before its end; the other copies serve.",
  ),
  FINGERPRINT_MISMATCH: corruptCopy(
    "Bytes arrived that are not what their fingerprint names; they were refused.",
  ),
  FORMAT_UNSUPPORTED: row(
    "failedPrecondition",
    "EIO",
    "environment",
    "never",
    "The file was written by another version; use that version, or a new directory.",
  ),
  DISK_FULL: row(
    "resourceExhausted",
    "ENOSPC",
    "full",
    "later",
    "Free space on the disk under the lab's directory.",
  ),
  DISK_FAILED: row(
    "internal",
    "EIO",
    "environment",
    "elsewhere",
    "The disk under the lab's directory failed a read, write or sync; look at the system's log.",
  ),
  IO_FAILED: row(
    "internal",
    "EIO",
    "unavailable",
    "later",
    "The server of the disk failed the request; its log says why.",
  ),
  READ_ONLY: row(
    "permissionDenied",
    "EPERM",
    "conflict",
    "never",
    "Recovery points cannot be written; clone one with `antipode vdisk create --from`.",
  ),
  MESSAGE_INVALID: badInput("The peer sent bytes that are no message of this service."),
  UNIMPLEMENTED: row(
    "unimplemented",
    "ENOTSUP",
    "usage",
    "never",
    "This antipode does not offer the named operation.",
  ),
  LAB_RUNNING: refused(
    "The lab is up already; look at it with `antipode lab status`, end it with `antipode lab down`.",
  ),
  LAB_NOT_RUNNING: refused("Start the lab with `antipode lab up`."),
  LAB_NOT_FOUND: notFound(
    "Give the lab's directory with --dir, or start one with `antipode lab up`.",
  ),
  LAB_START_FAILED: row("internal", "EIO", "environment", "never", "Read the named log file."),
  PORT_IN_USE: row(
    "failedPrecondition",
    "EPERM",
    "environment",
    "never",
    "End the named process or choose other addresses.",
  ),
  PROCESS_NOT_FOUND: notFound("List the processes with `antipode lab status`."),
  SIMULATOR_NOT_FOUND: row(
    "failedPrecondition",
    "EPERM",
    "environment",
    "never",
    "Use --engine sim from a checkout of antipode's sources, or leave it out for a real lab.",
  ),
  CHECK_FAILED: row(
    "dataLoss",
    "EIO",
    "checkFailed",
    "never",
    "A check of the drill did not hold; the report says which.",
  ),
  INTERNAL: row(
    "internal",
    "EIO",
    "environment",
    "never",
    "This is a bug in antipode; please report it with the log.",
  ),
} as const satisfies Readonly<Record<string, ErrorRow>>;

/** A stable error code. */
export type ErrorCode = keyof typeof errorTable;

/** Is this text one of our codes? For codes that come from another process. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorTable, text);
}

/** Identifiers that belong to a failure: names, ids, offsets. Never payload bytes. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean>>;

/**
 * An operating failure at an edge. `message` says what happened; the table says what it means and
 * what to do about it.
 */
export class AntipodeError extends Error {
  override readonly name = "AntipodeError";
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
  }

  get retry(): Retry {
    return errorTable[this.code].retry;
  }

  get remedy(): string {
    return errorTable[this.code].remedy;
  }
}

/** The error's code when it is ours. */
export function codeOf(error: unknown): ErrorCode | undefined {
  return error instanceof AntipodeError ? error.code : undefined;
}

/** A sentence for any thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
