/** All `.proto` files of the repository, parsed by protobufjs, and values for its messages. */

import { readdirSync } from "node:fs";
import { join, relative } from "node:path";
import protobuf from "protobufjs";

const PROTO_ROOT = join(import.meta.dirname, "..", "..", "proto");

/** Paths of all `.proto` files below `proto/`. */
function protoFiles(): readonly string[] {
  return readdirSync(PROTO_ROOT, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".proto"))
    .sort()
    .map((name) => join(PROTO_ROOT, name));
}

/** One root with all of them; imports are relative to `proto/`. Field names stay in snake_case. */
export function loadProtos(): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) =>
    target.startsWith("/") ? target : join(PROTO_ROOT, relative("", target));
  root.loadSync([...protoFiles()], { keepCase: true });
  root.resolveAll();
  return root;
}

/** `vdisk_id` → `vdiskId`. */
export function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_whole, letter: string) => letter.toUpperCase());
}

/** Full name without the dot in front. */
export function nameOf(object: protobuf.ReflectionObject): string {
  return object.fullName.replace(/^\./, "");
}

/** All messages, enums and services of a root, nested ones included. */
export function everythingIn(root: protobuf.NamespaceBase): readonly protobuf.ReflectionObject[] {
  return root.nestedArray.flatMap((item) => [
    item,
    ...(item instanceof protobuf.Namespace ? everythingIn(item) : []),
  ]);
}
