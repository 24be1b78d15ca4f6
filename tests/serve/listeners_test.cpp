#include "listeners.hpp"

#include <gtest/gtest.h>

namespace {

using lull::serve::listens_everywhere;

constexpr const char* head =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n";

TEST(Listeners, OnAllAddressesAreToldFromThoseOfThisMachineAlone) {
  const auto with = [](const std::string& line) { return head + line; };
  const std::string rest = " 00000000:00000000 00:00000000 00000000  1000 0 4711 1\n";
  EXPECT_TRUE(listens_everywhere(with("   0: 00000000:16A8 00000000:0000 0A" + rest), 5800));
  EXPECT_FALSE(listens_everywhere(with("   0: 0100007F:16A8 00000000:0000 0A" + rest), 5800));
  EXPECT_FALSE(listens_everywhere(with("   0: 00000000:16A9 00000000:0000 0A" + rest), 5800));
  EXPECT_FALSE(listens_everywhere(with("   0: 00000000:16A8 0100007F:9999 01" + rest), 5800))
      << "a connection";
  const std::string none(32, '0');
  EXPECT_TRUE(listens_everywhere(with("0: " + none + ":16A8 " + none + ":0000 0A" + rest), 5800));
  const std::string own = "00000000000000000000000001000000";
  EXPECT_FALSE(listens_everywhere(with("0: " + own + ":16A8 " + none + ":0000 0A" + rest), 5800));
  EXPECT_FALSE(listens_everywhere("", 5800));
  EXPECT_FALSE(listens_everywhere(with("0: 0 0 0A"), 0));
}

}  // namespace
