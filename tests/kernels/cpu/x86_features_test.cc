#include "kernels/cpu/x86_features.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "gtest/gtest.h"

namespace oneai::kernels {
namespace {

int num_requests = 0;
bool Grant() { return ++num_requests > 0; }
bool Refuse() { return ++num_requests < 0; }

// What a Sapphire Rapids says under Linux.
X86Facts SapphireRapids() {
  X86Facts facts;
  facts.l1.ecx = 1u << 12 | 1u << 27 | 1u << 29;
  facts.l7 = {.eax = 2,
              .ebx = 1u << 5 | 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31,
              .ecx = 1u << 1 | 1u << 11,
              .edx = 1u << 22 | 1u << 24 | 1u << 25};
  facts.l7_1.eax = 1u << 5;
  facts.xcr0 = 0x602e7;
  return facts;
}

TEST(X86FeaturesTest, TilesNeedSiliconSavedStateAndPermission) {
  num_requests = 0;
  const CpuFeatures all = FeaturesOf(SapphireRapids(), Grant);
  EXPECT_TRUE(all.amx_bf16 && all.amx_int8 && all.avx512 && all.avx512_bf16 && all.avx512_vnni);
  EXPECT_EQ(num_requests, 1);
}

TEST(X86FeaturesTest, ARefusalLeavesAvx512) {
  const CpuFeatures f = FeaturesOf(SapphireRapids(), Refuse);
  EXPECT_FALSE(f.amx_bf16 || f.amx_int8);
  EXPECT_TRUE(f.avx512 && f.avx512_bf16 && f.avx512_vnni && f.avx512_vbmi);
}

TEST(X86FeaturesTest, NobodyIsAskedWithoutTiles) {
  num_requests = 0;
  for (const uint64_t missing : {0x20000, 0x40000}) {  // TILECFG, TILEDATA
    X86Facts facts = SapphireRapids();
    facts.xcr0 &= ~missing;
    EXPECT_FALSE(FeaturesOf(facts, Grant).amx_bf16);
  }
  X86Facts facts = SapphireRapids();
  facts.l7.edx &= ~(1u << 24);  // AMX-TILE
  EXPECT_FALSE(FeaturesOf(facts, Grant).amx_bf16);
  EXPECT_EQ(num_requests, 0);
}

TEST(X86FeaturesTest, EachKindOfProductHasItsBit) {
  X86Facts facts = SapphireRapids();
  facts.l7.edx &= ~(1u << 22);
  EXPECT_FALSE(FeaturesOf(facts, Grant).amx_bf16);
  EXPECT_TRUE(FeaturesOf(facts, Grant).amx_int8);
  facts = SapphireRapids();
  facts.l7.edx &= ~(1u << 25);
  EXPECT_TRUE(FeaturesOf(facts, Grant).amx_bf16);
  EXPECT_FALSE(FeaturesOf(facts, Grant).amx_int8);
}

TEST(X86FeaturesTest, RegistersThatAreNotSavedAreNotUsed) {
  X86Facts facts = SapphireRapids();
  facts.xcr0 = 0x7;  // no ZMM, no tiles
  const CpuFeatures f = FeaturesOf(facts, Grant);
  EXPECT_TRUE(f.avx2);
  EXPECT_FALSE(f.avx512 || f.avx512_bf16 || f.amx_bf16);
  facts.xcr0 = 0;
  EXPECT_FALSE(FeaturesOf(facts, Grant).avx2);
}

// A container's filter: arch_prctl fails with EPERM. In a child, since a filter cannot be taken
// off.
TEST(X86FeaturesTest, ASeccompFilterThatRefusesIsARefusalAndNoCrash) {
  const pid_t child = fork();
  if (child == 0) {
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_arch_prctl, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{.len = 4, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(2);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(2);
    const CpuFeatures f = FeaturesOf(SapphireRapids(), RequestTilePermission);
    _exit(f.amx_bf16 || !f.avx512 ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 2) GTEST_SKIP() << "this system installs no seccomp filter";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace oneai::kernels
