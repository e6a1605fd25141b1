#include "base/store/sqlite_store.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>

#include "base/files/files.h"
#include "base/store/memory_store.h"
#include "tests/base/store/store_conformance.h"

namespace oneai {

INSTANTIATE_TEST_SUITE_P(
    Stores, StoreConformanceTest,
    ::testing::Values(StoreFactory{"Sqlite",
                                   [](const std::filesystem::path& dir) {
                                     return SqliteStore::Open(dir / "store.db").value();
                                   }},
                      StoreFactory{"Memory",
                                   [](const std::filesystem::path&) { return NewMemoryStore(); },
                                   /*is_durable=*/false}),
    StoreFactoryName);

namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::TempDir;

TEST(SqliteStoreTest, TwoOpenersAreRefused) {
  TempDir dir;
  const auto path = dir.path() / "sub" / "store.db";
  ASSERT_OK_AND_ASSIGN(auto first, SqliteStore::Open(path));
  EXPECT_THAT(SqliteStore::Open(path),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another process")));
  first.reset();
  EXPECT_OK(SqliteStore::Open(path));
}

TEST(SqliteStoreTest, TheFileIsPrivate) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(auto store, SqliteStore::Open(dir.path() / "store.db"));
  ASSERT_OK(store->Commit(Transaction().Put("k", "v")));
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    EXPECT_EQ(entry.status().permissions() & std::filesystem::perms::mask,
              std::filesystem::perms(0600))
        << entry.path();
  }
}

TEST(SqliteStoreTest, ACorruptFileIsDataLossNamingTheFileAndTheWayOut) {
  TempDir dir;
  const auto path = dir.path() / "store.db";
  {
    ASSERT_OK_AND_ASSIGN(auto store, SqliteStore::Open(path));
    for (int i = 0; i < 200; ++i) {
      ASSERT_OK(store->Commit(Transaction().Put(absl::StrCat("key", i), std::string(500, 'v'))));
    }
  }
  const auto size = static_cast<std::streamoff>(std::filesystem::file_size(path));
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    for (std::streamoff at = 8192; at + 2048 < size; at += 4096) {
      file.seekp(at);
      file << std::string(2048, '\x5a');
    }
  }
  EXPECT_THAT(
      SqliteStore::Open(path),
      StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr(path.string()), HasSubstr("backup"))));
  // Twice: a refused store must not stay locked.
  EXPECT_THAT(SqliteStore::Open(path), StatusIs(absl::StatusCode::kDataLoss, _));
}

TEST(SqliteStoreTest, AFileThatIsNoStoreIsRefused) {
  TempDir dir;
  const auto path = dir.path() / "store.db";
  ASSERT_OK(WriteFileAtomically(path, std::string(8192, 'x')));
  EXPECT_THAT(SqliteStore::Open(path),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("store.db")));
}

TEST(SqliteStoreTest, AFullDiskRefusesTheCommitAndChangesNothing) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(auto store, SqliteStore::Open(dir.path() / "store.db"));
  ASSERT_OK(store->Commit(Transaction().Put("kept", "1")));
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{1 << 20, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const int64_t revision = store->revision();
  const absl::Status status =
      store->Commit(Transaction().Put("kept", "2").Put("big", std::string(4 << 20, 'v'))).status();
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("store.db")));
  EXPECT_EQ(store->revision(), revision);
  EXPECT_EQ(store->Get("kept")->value, "1");
  EXPECT_THAT(store->Get("big"), StatusIs(absl::StatusCode::kNotFound, _));
  // Once there is space again, the same store goes on.
  EXPECT_OK(store->Commit(Transaction().Put("kept", "3")));
}

TEST(SqliteStoreTest, ItsOwnLimitLeavesRoomForSmallCommits) {
  TempDir dir;
  SqliteStoreOptions options;
  options.bytes_max = 1 << 20;
  ASSERT_OK_AND_ASSIGN(auto store, SqliteStore::Open(dir.path() / "store.db", options));
  EXPECT_THAT(store->Commit(Transaction().Put("big", std::string(2 << 20, 'v'))),
              StatusIs(absl::StatusCode::kResourceExhausted, _));
  EXPECT_OK(store->Commit(Transaction().Put("small", "v")));
}

}  // namespace
}  // namespace oneai
