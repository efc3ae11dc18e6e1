// A plugin of qemu (its interface, version 1) that counts the instructions that are executed, and prints them at the end.
// Compiled by tools/arm_instructions.
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
__attribute__((visibility("default"))) int qemu_plugin_version = 1;
typedef uint64_t plugin_id;
struct qemu_plugin_tb;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
static uint64_t count;
static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
    qemu_plugin_register_vcpu_tb_exec_inline(tb, 0, &count, qemu_plugin_tb_n_insns(tb));
}
static void ended(plugin_id id, void *unused) { fprintf(stderr, "instructions %" PRIu64 "\n", count); }
__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
