#ifndef LULL_DETAIL_REQUIRES_CXX20_HPP
#define LULL_DETAIL_REQUIRES_CXX20_HPP

#if __cplusplus < 202002L
#error "lull: this header needs C++20 (-std=c++20); <lull/lull.h> works from C11 and C++11 on"
#endif

#endif  // LULL_DETAIL_REQUIRES_CXX20_HPP
