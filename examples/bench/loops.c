/* System calls in a loop: prints the nanoseconds of one round. loops getppid ROUNDS | loops open ROUNDS FILE */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  long rounds = atol(argv[2]);
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  if (strcmp(argv[1], "getppid") == 0) {
    for (long i = 0; i < rounds; i++) syscall(SYS_getppid);
  } else if (strcmp(argv[1], "open") == 0 && argc > 3) {
    for (long i = 0; i < rounds; i++) {
      int fd = open(argv[3], O_RDONLY | O_CLOEXEC);
      if (fd < 0) {
        perror(argv[3]);
        return 1;
      }
      close(fd);
    }
  } else {
    return 2;
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  double ns = (end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec);
  printf("%.1f\n", ns / rounds);
  return 0;
}
