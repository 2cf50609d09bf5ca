/**
 * The handshake of one NBD connection (fixed newstyle) as a pure machine: bytes and answers in,
 * effects out; no I/O. States, events and invariants: SPEC.md beside this file.
 *
 * While an export is being opened or listed the machine takes no input, so answers keep the order of
 * the options and a client cannot pile up work.
 */

import { ByteQueue } from "../../base/byteQueue.ts";
import { concatBytes, utf8, viewOf } from "../../base/bytes.ts";
import {
  encodeNbdOptionReply,
  encodeNbdString,
  NBD_BASE_ALLOCATION,
  NBD_CLIENT_FLAGS_BYTES,
  NBD_EXPORT_NAME_PADDING_BYTES,
  NBD_GREETING_BYTES,
  NBD_OPTION_HEADER_BYTES,
  nbdHandshakeFlag,
  nbdInfo,
  nbdMagic,
  nbdOption,
  nbdReply,
  writeU64be,
} from "../../base/nbd.ts";
import { OPTION_BYTES_MAX, OPTION_BYTES_SKIPPED_MAX, OPTIONS_MAX } from "./limits.ts";
import {
  decodeInfoRequest,
  decodeMetaRequest,
  decodeName,
  type ExportInfo,
  encodeBlockSizeInfo,
  encodeExportInfo,
  encodeMetaContext,
  encodeNameInfo,
} from "./optionData.ts";

/** Id under which `base:allocation` is negotiated. */
export const ALLOCATION_CONTEXT_ID = 1;

/** What both sides agreed on when the transmission phase begins. */
export interface Negotiated {
  readonly exportName: string;
  readonly structuredReplies: boolean;
  readonly allocationContext: boolean;
}

export type HandshakeEffect =
  | { readonly kind: "send"; readonly bytes: Uint8Array }
  /** Open this export and answer with `onOpened` or `onRefused`. */
  | { readonly kind: "open"; readonly exportName: string }
  /** Answer with `onListed` or `onRefused`. */
  | { readonly kind: "list" }
  /** The transmission phase begins with the bytes left in `input`, on the export opened last. */
  | { readonly kind: "transmit"; readonly negotiated: Negotiated }
  /** Send what is buffered and close; `reason` is for the log. */
  | { readonly kind: "close"; readonly reason: string };

type State = "clientFlags" | "optionHeader" | "optionData" | "optionSkip" | "waiting" | "ended";

/** What an open or list was for, so that its answer finds the way back. */
type Question =
  | { readonly kind: "exportName"; readonly exportName: string }
  | {
      readonly kind: "info";
      readonly option: number;
      readonly exportName: string;
      readonly infos: readonly number[];
    }
  | {
      readonly kind: "meta";
      readonly option: number;
      readonly exportName: string;
      readonly queries: readonly string[];
    }
  | { readonly kind: "list" };

/** What the answers do to a question of one kind; one that does not fit the question is not heard. */
interface Answers<Q extends Question> {
  readonly opened: (machine: NbdHandshake, question: Q, info: ExportInfo) => void;
  readonly listed: (machine: NbdHandshake, question: Q, names: readonly string[]) => void;
  readonly refused: (machine: NbdHandshake, question: Q, message: string) => void;
}
type AnswerTable = { readonly [Q in Question as Q["kind"]]: Answers<Q> };

const unheard = (): void => undefined;

/** 18 bytes that the server sends first. */
function encodeGreeting(): Uint8Array {
  const bytes = new Uint8Array(NBD_GREETING_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, nbdMagic.greetingHigh);
  view.setUint32(4, nbdMagic.greetingLow);
  view.setUint32(8, nbdMagic.optionHigh);
  view.setUint32(12, nbdMagic.optionLow);
  view.setUint16(16, nbdHandshakeFlag.fixedNewstyle | nbdHandshakeFlag.noZeroes);
  return bytes;
}

export class NbdHandshake {
  /** One reader a state: true when it made progress. Total, so that no state is forgotten. */
  static readonly readers: Readonly<Record<State, (machine: NbdHandshake) => boolean>> = {
    clientFlags: (machine) => machine.#readClientFlags(),
    optionHeader: (machine) => machine.#readOptionHeader(),
    optionData: (machine) => machine.#readOptionData(),
    optionSkip: (machine) => machine.#skipOptionData(),
    waiting: () => false,
    ended: () => false,
  };
  /** Every question and answer: the row `waiting` of SPEC.md. */
  static readonly answers: AnswerTable = {
    exportName: {
      opened: (machine, { exportName }, info) => {
        machine.#send(machine.#exportNameReply(info));
        machine.#transmit(exportName);
      },
      listed: unheard,
      // EXPORT_NAME has no way to report an error: the protocol says to close.
      refused: (machine) => {
        machine.#close("export refused");
      },
    },
    info: {
      opened: (machine, question, info) => {
        machine.#replyInfo(question, info);
      },
      listed: unheard,
      refused: (machine, { option }, message) => {
        machine.#replyRefused(option, message);
      },
    },
    meta: {
      opened: (machine, question) => {
        machine.#replyMeta(question);
      },
      listed: unheard,
      refused: (machine, { option }, message) => {
        machine.#replyRefused(option, message);
      },
    },
    list: {
      opened: unheard,
      listed: (machine, _question, names) => {
        machine.#replyNames(names);
      },
      refused: (machine, _question, message) => {
        machine.#replyRefused(nbdOption.list, message);
      },
    },
  };

  /** Input; after `transmit` what is left in it belongs to the transmission phase. */
  readonly input = new ByteQueue();
  #state: State = "clientFlags";
  #effects: HandshakeEffect[] = [];
  #fixedNewstyle = false;
  #noZeroes = false;
  #structuredReplies = false;
  /** The export for which `base:allocation` was chosen. */
  #allocationFor: string | undefined;
  #option = 0;
  #dataLength = 0;
  #options = 0;
  #question: Question | undefined;

  constructor() {
    this.#send(encodeGreeting());
  }

  /** The next thing to do, or `undefined` until more bytes or an answer come. */
  next(): HandshakeEffect | undefined {
    while (this.#effects.length === 0 && NbdHandshake.readers[this.#state](this));
    return this.#effects.shift();
  }

  /** The export asked for by `open` is there. */
  onOpened(info: ExportInfo): void {
    this.#onAnswer("opened", info);
  }

  /** The names asked for by `list`. */
  onListed(names: readonly string[]): void {
    this.#onAnswer("listed", names);
  }

  /** The export cannot be opened, or the names not be listed; the message is for a person. */
  onRefused(message: string): void {
    this.#onAnswer("refused", message);
  }

  /** None is heard that comes unasked or after the end. */
  #onAnswer<K extends keyof Answers<Question>>(
    kind: K,
    answer: Parameters<Answers<Question>[K]>[2],
  ): void {
    const question = this.#question;
    if (question === undefined) return;
    this.#question = undefined;
    this.#state = "optionHeader";
    // The table is total by its type; the pair of one question and one answer picks one cell.
    const cell = NbdHandshake.answers[question.kind][kind] as (
      machine: NbdHandshake,
      question: Question,
      answer: Parameters<Answers<Question>[K]>[2],
    ) => void;
    cell(this, question, answer);
  }

  #readClientFlags(): boolean {
    if (!this.input.ensure(NBD_CLIENT_FLAGS_BYTES)) return false;
    const flags = this.input.u32(0);
    this.input.skip(NBD_CLIENT_FLAGS_BYTES);
    const known = nbdHandshakeFlag.fixedNewstyle | nbdHandshakeFlag.noZeroes;
    if ((flags & ~known) !== 0) this.#close("unknown client flags");
    else this.#state = "optionHeader";
    this.#fixedNewstyle = (flags & nbdHandshakeFlag.fixedNewstyle) !== 0;
    this.#noZeroes = (flags & nbdHandshakeFlag.noZeroes) !== 0;
    return true;
  }

  #readOptionHeader(): boolean {
    if (!this.input.ensure(NBD_OPTION_HEADER_BYTES)) return false;
    const magicFits =
      this.input.u32(0) === nbdMagic.optionHigh && this.input.u32(4) === nbdMagic.optionLow;
    this.#option = this.input.u32(8);
    this.#dataLength = this.input.u32(12);
    this.input.skip(NBD_OPTION_HEADER_BYTES);
    this.#options += 1;
    if (!magicFits) this.#close("wrong option magic");
    else if (this.#options > OPTIONS_MAX) this.#close("too many options");
    else if (this.#dataLength > OPTION_BYTES_SKIPPED_MAX) this.#close("option too large");
    else if (!this.#fixedNewstyle && this.#option !== nbdOption.exportName)
      this.#close("option of fixed newstyle without its flag");
    else this.#state = this.#dataLength > OPTION_BYTES_MAX ? "optionSkip" : "optionData";
    return true;
  }

  #skipOptionData(): boolean {
    this.#dataLength -= this.input.skip(this.#dataLength);
    if (this.#dataLength > 0) return false;
    this.#state = "optionHeader";
    if (this.#option === nbdOption.exportName) this.#close("export name too long");
    else this.#refuse(nbdReply.errorTooBig, "too much option data");
    return true;
  }

  #readOptionData(): boolean {
    if (!this.input.ensure(this.#dataLength)) return false;
    const data = this.input.take(this.#dataLength);
    this.#state = "optionHeader";
    switch (this.#option) {
      case nbdOption.exportName:
        this.#onExportName(data);
        break;
      case nbdOption.abort:
        this.#send(encodeNbdOptionReply(this.#option, nbdReply.ack));
        this.#close("client aborted");
        break;
      case nbdOption.list:
        if (data.length > 0) this.#refuse(nbdReply.errorInvalid, "LIST has no data");
        else this.#ask({ kind: "list" }, { kind: "list" });
        break;
      case nbdOption.info:
      case nbdOption.go:
        this.#onInfo(data);
        break;
      case nbdOption.structuredReply:
        this.#onStructuredReply(data);
        break;
      case nbdOption.listMetaContext:
      case nbdOption.setMetaContext:
        this.#onMetaContext(data);
        break;
      default:
        this.#refuse(nbdReply.errorUnsupported, "option not supported");
    }
    return true;
  }

  #onExportName(data: Uint8Array): void {
    const exportName = decodeName(data);
    if (exportName === undefined) this.#close("export name is not a name");
    else this.#ask({ kind: "exportName", exportName }, { kind: "open", exportName });
  }

  #onInfo(data: Uint8Array): void {
    const request = decodeInfoRequest(data);
    if (request === undefined) {
      this.#refuse(nbdReply.errorInvalid, "malformed request");
      return;
    }
    const { exportName, infos } = request;
    this.#ask(
      { kind: "info", option: this.#option, exportName, infos },
      { kind: "open", exportName },
    );
  }

  #onStructuredReply(data: Uint8Array): void {
    if (data.length > 0) {
      this.#refuse(nbdReply.errorInvalid, "STRUCTURED_REPLY has no data");
      return;
    }
    this.#structuredReplies = true;
    this.#send(encodeNbdOptionReply(this.#option, nbdReply.ack));
  }

  #onMetaContext(data: Uint8Array): void {
    if (this.#option === nbdOption.setMetaContext) this.#allocationFor = undefined;
    if (!this.#structuredReplies) {
      this.#refuse(nbdReply.errorInvalid, "negotiate STRUCTURED_REPLY first");
      return;
    }
    const request = decodeMetaRequest(data);
    if (request === undefined) {
      this.#refuse(nbdReply.errorInvalid, "malformed request");
      return;
    }
    const { exportName, queries } = request;
    this.#ask(
      { kind: "meta", option: this.#option, exportName, queries },
      { kind: "open", exportName },
    );
  }

  #replyInfo(question: Question & { kind: "info" }, info: ExportInfo): void {
    const replies = [encodeExportInfo(info), encodeBlockSizeInfo()];
    if (question.infos.includes(nbdInfo.name)) replies.push(encodeNameInfo(question.exportName));
    for (const reply of replies)
      this.#send(encodeNbdOptionReply(question.option, nbdReply.info, reply));
    this.#send(encodeNbdOptionReply(question.option, nbdReply.ack));
    if (question.option === nbdOption.go) this.#transmit(question.exportName);
  }

  #replyNames(names: readonly string[]): void {
    const replies = names.map((name) =>
      encodeNbdOptionReply(nbdOption.list, nbdReply.server, encodeNbdString(name)),
    );
    this.#send(concatBytes([...replies, encodeNbdOptionReply(nbdOption.list, nbdReply.ack)]));
  }

  #replyRefused(option: number, message: string): void {
    this.#send(encodeNbdOptionReply(option, nbdReply.errorUnknown, utf8(message)));
  }

  #replyMeta(question: Question & { kind: "meta" }): void {
    const { option, queries } = question;
    const setting = option === nbdOption.setMetaContext;
    const asked = setting
      ? queries.includes(NBD_BASE_ALLOCATION)
      : queries.length === 0 || queries.some((q) => q === "base:" || q === NBD_BASE_ALLOCATION);
    if (asked) {
      const context = encodeMetaContext(setting ? ALLOCATION_CONTEXT_ID : 0, NBD_BASE_ALLOCATION);
      this.#send(encodeNbdOptionReply(option, nbdReply.metaContext, context));
    }
    if (setting && asked) this.#allocationFor = question.exportName;
    this.#send(encodeNbdOptionReply(option, nbdReply.ack));
  }

  #exportNameReply(info: ExportInfo): Uint8Array {
    const bytes = new Uint8Array(10 + (this.#noZeroes ? 0 : NBD_EXPORT_NAME_PADDING_BYTES));
    writeU64be(viewOf(bytes), 0, info.sizeBytes);
    viewOf(bytes).setUint16(8, info.transmissionFlags);
    return bytes;
  }

  #ask(question: Question, effect: HandshakeEffect): void {
    this.#question = question;
    this.#state = "waiting";
    this.#effects.push(effect);
  }

  #transmit(exportName: string): void {
    const negotiated: Negotiated = {
      exportName,
      structuredReplies: this.#structuredReplies,
      allocationContext: this.#allocationFor === exportName,
    };
    this.#state = "ended";
    this.#effects.push({ kind: "transmit", negotiated });
  }

  #refuse(type: number, message: string): void {
    this.#send(encodeNbdOptionReply(this.#option, type, utf8(message)));
  }

  #send(bytes: Uint8Array): void {
    this.#effects.push({ kind: "send", bytes });
  }

  #close(reason: string): void {
    this.#state = "ended";
    this.#effects.push({ kind: "close", reason });
  }
}
