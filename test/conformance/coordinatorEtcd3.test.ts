/**
 * Somebody else's client against the embedded server: npm's etcd3, unchanged, from outside as a user
 * of the lab would use it.
 */

import { Etcd3, EtcdLeaseInvalidError } from "etcd3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EmbeddedServer, startEmbedded } from "../support/etcdWorlds.ts";

describe("npm's etcd3 against the embedded server", () => {
  let server: EmbeddedServer;
  let client: Etcd3;

  beforeAll(async () => {
    server = await startEmbedded();
    client = new Etcd3({ hosts: `http://${server.address.host}:${server.address.port}` });
  });
  afterAll(async () => {
    client.close();
    await server.end();
  });

  it("puts, gets, counts and deletes", async () => {
    await client.put("basic/a").value("1");
    await client.put("basic/b").value("2");
    expect(await client.get("basic/a").string()).toBe("1");
    expect(await client.get("basic/missing").string()).toBeNull();
    expect(await client.getAll().prefix("basic/").strings()).toEqual({
      "basic/a": "1",
      "basic/b": "2",
    });
    expect(await client.getAll().prefix("basic/").count()).toBe(2);
    await client.delete().prefix("basic/");
    expect(await client.getAll().prefix("basic/").keys()).toEqual([]);
  });

  it("sorts, limits and reads the past", async () => {
    for (const value of ["2", "3", "1"]) await client.put(`sort/${value}`).value(value);
    const revision = (await client.put("sort/9").value("9")).header.revision;
    await client.delete().key("sort/9");
    const newest = await client.getAll().prefix("sort/").sort("Create", "Descend").limit(2).keys();
    expect(newest).toEqual(["sort/1", "sort/3"]);
    const past = await client.getAll().prefix("sort/").revision(revision).keys();
    expect(past).toContain("sort/9");
  });

  it("compares and swaps", async () => {
    const claim = (value: string): Promise<{ succeeded: boolean }> =>
      client.if("cas", "Create", "==", 0).then(client.put("cas").value(value)).commit();
    expect((await claim("first")).succeeded).toBe(true);
    expect((await claim("second")).succeeded).toBe(false);
    const byValue = await client
      .if("cas", "Value", "==", "first")
      .and("cas", "Version", ">", 0)
      .then(client.put("cas").value("next"))
      .else(client.get("cas"))
      .commit();
    expect(byValue.succeeded).toBe(true);
    expect(await client.get("cas").string()).toBe("next");
  });

  it("watches a prefix", async () => {
    const watcher = await client.watch().prefix("watched/").create();
    const seen: string[] = [];
    const done = new Promise<void>((resolve) => {
      watcher.on("put", (entry) => seen.push(`${entry.key.toString()}=${entry.value.toString()}`));
      watcher.on("delete", (entry) => {
        seen.push(`-${entry.key.toString()}`);
        resolve();
      });
    });
    await client.put("watched/a").value("1");
    await client.delete().key("watched/a");
    await done;
    expect(seen).toEqual(["watched/a=1", "-watched/a"]);
    await watcher.cancel();
  });

  it("holds keys under a lease and knows when it is gone", async () => {
    const lease = client.lease(5);
    await lease.put("leased/a").value("1");
    expect(await client.get("leased/a").string()).toBe("1");
    await lease.keepaliveOnce();
    await client.leaseClient.leaseRevoke({ ID: await lease.grant() });
    expect(await client.get("leased/a").string()).toBeNull();
    await expect(lease.put("leased/b").value("1").exec()).rejects.toThrow(EtcdLeaseInvalidError);
    await lease.revoke().catch(() => undefined);
  });

  it("locks", async () => {
    const order: string[] = [];
    await Promise.all(
      ["a", "b"].map((name) =>
        client
          .lock("mutex")
          .do(async () => {
            order.push(`${name} in`);
            await client.put("mutex-held").value(name);
            order.push(`${name} out`);
          })
          .catch((error: unknown) => order.push(String(error))),
      ),
    );
    expect(order.filter((step) => step.endsWith("in")).length).toBeGreaterThanOrEqual(1);
    expect(await client.get("mutex-held").string()).not.toBeNull();
  });

  it("elects, and hands over when the leader resigns", async () => {
    const first = client.election("role", 5).campaign("first");
    await first.wait();
    const second = client.election("role", 5).campaign("second");
    expect(await client.election("role").leader()).toBe("first");
    await first.resign();
    await second.wait();
    expect(await client.election("role").leader()).toBe("second");
    await second.resign();
  });

  it("refuses a compacted revision as etcd does", async () => {
    const { header } = await client.put("compacted").value("1");
    await client.put("compacted").value("2");
    await client.put("compacted").value("3");
    await client.kv.compact({ revision: Number(header.revision) + 1, physical: true });
    await expect(client.get("compacted").revision(header.revision).string()).rejects.toThrow(
      "required revision has been compacted",
    );
  });
});
