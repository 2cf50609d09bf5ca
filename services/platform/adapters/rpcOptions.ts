/**
 * Limits and tuning of gRPC, with the reason for each.
 *
 * Windows: HTTP/2 lets a sender be one window ahead of the receiver; measured with Node's HTTP/2, a
 * stream moves half a window per round trip. At 100 ms the protocol's 64 KiB gave 0.3 MB/s, 16 MiB
 * 79 MB/s, 64 MiB 310 MB/s; 32 MiB gives about 157 MB/s, more than the 125 MB/s of 1 Gbit/s. The
 * connection's window is twice that, so that one stream whose consumer stands still does not stop
 * the others. It is also the most that a peer can make us hold.
 */

import type { ChannelOptions, ServerOptions } from "@grpc/grpc-js";

const MIB = 1024 * 1024;

/** Largest message either way; bulk frames are about 256 KiB, listings are paged. */
export const MESSAGE_BYTES_MAX = 32 * MIB;
export const STREAM_WINDOW_BYTES = 32 * MIB;
export const CONNECTION_WINDOW_BYTES = 2 * STREAM_WINDOW_BYTES;
/** Calls under way on one connection; further ones wait at the caller. */
const CONCURRENT_CALLS_MAX = 4096;
/** Unary calls under way get this long to answer when a server closes. */
export const CLOSE_GRACE_MS = 1000;
/** `details` of an error as JSON; headers of a reply are limited to 64 KiB in all. */
export const DETAILS_TEXT_BYTES_MAX = 8 * 1024;
export const MESSAGE_TEXT_CHARS_MAX = 4 * 1024;

const shared = {
  "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
  "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
};

/**
 * A peer that restarts on the same machine is back within a second, so the connection is tried
 * again after 100 ms and at least every 500 ms. No retries by the library: callers know what is
 * idempotent. No keepalive pings: streams are watched for progress by their users. The subchannel
 * pool is the client's own, so that closing it closes its connection.
 */
export const clientOptions: ChannelOptions = {
  ...shared,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 500,
  "grpc.enable_retries": 0,
  "grpc.service_config_disable_resolution": 1,
  "grpc.enable_http_proxy": 0,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_channelz": 0,
  "grpc-node.flow_control_window": STREAM_WINDOW_BYTES,
};

export const serverOptions: ServerOptions = {
  ...shared,
  "grpc.max_concurrent_streams": CONCURRENT_CALLS_MAX,
  "grpc.enable_channelz": 0,
};
