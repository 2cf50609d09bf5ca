/**
 * Port: byte streams (TCP), for what is not gRPC: the NBD front-end, block clients, links.
 * Writing and reading both have backpressure; nothing is buffered without bound by the callers.
 */

/** An address that can be dialled or listened on. Port 0 asks for any free port. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface Connection {
  readonly remote: string;
  /** Exactly one handler; called with a chunk that the callee may keep. */
  onData(handler: (chunk: Uint8Array) => void): void;
  /** The other side will send nothing more. */
  onEnd(handler: () => void): void;
  /** Called once when the connection is gone, with the reason when it broke. */
  onClose(handler: (error: Error | undefined) => void): void;
  /** Called each time the outgoing buffer has emptied after `write` returned false. */
  onDrain(handler: () => void): void;
  /** Sends the parts in order; false when the caller should wait for `onDrain`. */
  write(parts: readonly Uint8Array[]): boolean;
  pause(): void;
  resume(): void;
  /** Sends what is buffered, then ends our direction. */
  end(): void;
  /** Drops the connection at once. With `reset` the peer sees a TCP reset. */
  destroy(reset?: "reset"): void;
}

export interface Listener {
  readonly address: Address;
  /** Stops accepting; connections go on. */
  close(): Promise<void>;
}

export interface Net {
  /**
   * @throws AntipodeError `PORT_IN_USE`
   */
  listen(address: Address, onConnection: (connection: Connection) => void): Promise<Listener>;
  /**
   * Dials; TCP_NODELAY is set on every connection.
   * @throws AntipodeError `PEER_UNREACHABLE`, or `DEADLINE_EXCEEDED` after `timeoutMs`
   */
  connect(address: Address, timeoutMs: number): Promise<Connection>;
}
