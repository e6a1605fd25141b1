#include "controller/free_address.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "tests/testing/status_matchers.h"

namespace oneai {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

TEST(FreeAddressTest, TellsATakenPortFromAFreeOne) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string taken = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  EXPECT_THAT(CheckAddressFree(taken), StatusIs(absl::StatusCode::kUnavailable, HasSubstr(taken)));
  close(fd);
  EXPECT_OK(CheckAddressFree(taken));
  EXPECT_THAT(CheckAddressFree("7400"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("")));
}

}  // namespace
}  // namespace oneai
