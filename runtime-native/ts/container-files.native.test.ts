import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { bind, podForTests } from "./container-fixture.ts";

const { node, run, assertRefused, host } = podForTests();

describe("file systems", () => {
  test("what is written goes to the upper layer only", async () => {
    const { id } = await run("echo changed > /etc/passwd; rm /bin/not-executable; echo new > /new");
    assert.match(readFileSync(join(node.image, "etc/passwd"), "utf8"), /^root/);
    assert.ok(existsSync(join(node.image, "bin/not-executable")));
    assert.equal(readFileSync(join(node.folder, "containers", id, "upper/new"), "utf8"), "new\n");
  });

  test("the end of a container syncs no disk", async () => {
    // Without this option unmounting the root writes out all that anybody has written to the file system below.
    const { text } = await run("grep ' / / ' /proc/self/mountinfo");
    assert.match(text, / - overlay .*\bvolatile(,|$)/m);
  });

  test("a work folder of another start is refused by name", async () => {
    const spec = node.container("used-twice", "true");
    await run("true", { rootfs: spec.rootfs });
    await assertRefused("Internal", /used-twice\/work-\d+ was the work folder of another/, "true", { rootfs: spec.rootfs });
  });

  test("many layers are stacked, topmost first", async () => {
    const layers = Array.from({ length: 60 }, (_, number) => {
      const path = host(`layers/${"long-name-".repeat(20)}${number}`);
      writeFileSync(join(path, "which"), `${number}`);
      writeFileSync(join(path, `only-${number}`), "");
      return path;
    });
    const spec = node.container("layers", "");
    const { text } = await run("cat /which; ls / | grep -c only", { rootfs: { ...spec.rootfs, lower: [...layers, node.image] } });
    assert.equal(text, "060\n");
  });

  test("a missing layer is named", async () => {
    const spec = node.container("missing-layer", "");
    await assertRefused("Internal", /nowhere\/layer: no such file/, "true", { rootfs: { ...spec.rootfs, lower: ["/nowhere/layer"] } });
  });

  test("a read-only root refuses writes, its writable mounts do not", async () => {
    const spec = node.container("read-only", "");
    const { text } = await run("echo x > /file 2>&1; echo x > /data/file && echo data; echo x > /dev/shm/file && echo shm; pwd", {
      rootfs: { ...spec.rootfs, readOnly: true },
      mounts: [bind(host("ro-data"), "/data")],
      process: node.process("echo x > /file; echo x > /data/file && echo data; echo x > /dev/shm/file && echo shm; pwd", {
        cwd: "/made/dir",
      }),
    });
    assert.equal(text, "data\nshm\n/made/dir\n");
    assert.equal(existsSync(join(node.folder, "containers/read-only/upper/file")), false);
  });

  test("volumes: files and folders, read-only and not, one in the other, tmpfs with its size", async () => {
    const data = host("volume");
    writeFileSync(join(data, "there"), "there\n");
    const { text } = await run(
      "cat /data/there /config/file; echo x > /config/file; echo new > /data/new; echo x > /ro/new; mkdir /data/sub/dir; df -k /scratch | tail -1 | awk '{print $2}'; stat -c %a /scratch; echo x > /data/deep/inside/y",
      {
        mounts: [
          bind(data, "/data"),
          bind(host("file", "file\n"), "/config/file", { readOnly: true }),
          bind(data, "/ro", { readOnly: true }),
          {
            type: "tmpfs",
            source: "",
            destination: "/scratch",
            readOnly: false,
            recursive: false,
            propagation: "private",
            sizeBytes: 1024 * 1024,
            mode: 0o700,
          },
          bind(host("inner"), "/data/deep/inside"),
        ],
      },
    );
    assert.equal(text, "there\nfile\n1024\n700\n");
    assert.equal(readFileSync(join(data, "new"), "utf8"), "new\n");
    assert.equal(readFileSync(join(node.folder, "host/file"), "utf8"), "file\n");
    assert.equal(readFileSync(join(node.folder, "host/inner/y"), "utf8"), "x\n");
  });

  test("read-only holds for what is mounted below the source", async () => {
    const outer = host("outer");
    mkdirSync(join(outer, "below"));
    execFileSync("mount", ["-t", "tmpfs", "none", join(outer, "below")]);
    try {
      const { text } = await run("echo x > /data/below/file; awk '$5 ~ /^.data/ {print $5, substr($6,1,2)}' /proc/self/mountinfo", {
        mounts: [bind(outer, "/data", { readOnly: true })],
      });
      assert.equal(text, "/data ro\n/data/below ro\n");
      const { text: flat } = await run("awk '$5 ~ /^.data/ {print $5}' /proc/self/mountinfo", {
        mounts: [bind(outer, "/data", { recursive: false })],
      });
      assert.equal(flat, "/data\n");
    } finally {
      execFileSync("umount", [join(outer, "below")]);
    }
  });

  test("a missing source is NotFound and named; a folder on a file is refused", async () => {
    await assertRefused("NotFound", /open mount source: \/nowhere\/at\/all: no such file/, "true", {
      mounts: [bind("/nowhere/at/all", "/data")],
    });
    await assertRefused("InvalidArgument", /a folder cannot be mounted at \/etc\/passwd/, "true", {
      mounts: [bind(host("some-dir"), "/etc/passwd")],
    });
    await assertRefused("InvalidArgument", /a file cannot be mounted at \/etc/, "true", { mounts: [bind(host("some-file", ""), "/etc")] });
  });

  test("destinations that mean something else are refused", async () => {
    for (const destination of ["/", "/proc", "/proc/sys", "/sys/kernel", "/tmp/../proc", "relative"])
      await assertRefused("InvalidArgument", /./, "true", { mounts: [bind(host("some-dir"), destination)] });
  });
});
