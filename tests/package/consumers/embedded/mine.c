int mine(void);

int mine(void) {
  return 0;
}
