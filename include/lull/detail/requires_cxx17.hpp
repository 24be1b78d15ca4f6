#ifndef LULL_DETAIL_REQUIRES_CXX17_HPP
#define LULL_DETAIL_REQUIRES_CXX17_HPP

#if __cplusplus < 201703L
#error "lull: this header needs C++17 (-std=c++17); <lull/lull.h> works from C11 and C++11 on"
#endif

#endif  // LULL_DETAIL_REQUIRES_CXX17_HPP
