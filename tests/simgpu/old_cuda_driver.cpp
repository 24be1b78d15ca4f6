/// @file
/// A libcuda.so.1 from long ago.

extern "C" {

int cuInit(unsigned) {
  return 0;
}

int cuDriverGetVersion(int* version) {
  *version = 9000;
  return 0;
}

}  // extern "C"
