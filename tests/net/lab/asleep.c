/* LD_PRELOAD: CLOCK_BOOTTIME is ahead by the seconds that the file ASLEEP_FILE holds, a number of 8
 * bytes that may change at any time, as it is ahead when a machine has slept. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *slept_s;
static int (*read_clock)(clockid_t, struct timespec *);
static int (*set_timer)(int, int, const struct itimerspec *, struct itimerspec *);

__attribute__((constructor)) static void begin(void) {
  const char *const path = getenv("ASLEEP_FILE");
  const int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  void *const at = mmap(NULL, sizeof(*slept_s), PROT_READ, MAP_SHARED, fd, 0);
  slept_s = at == MAP_FAILED ? NULL : at;
  close(fd);
}

static int64_t slept(void) { return slept_s == NULL ? 0 : *slept_s; }

int clock_gettime(clockid_t clock, struct timespec *at) {
  if (read_clock == NULL) {
    *(void **)&read_clock = dlsym(RTLD_NEXT, "clock_gettime");
  }
  const int result = read_clock(clock, at);
  if (result == 0 && clock == CLOCK_BOOTTIME) {
    at->tv_sec += slept();
  }
  return result;
}

/* The alarm of the data plane, which is set by that clock. */
int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old) {
  if (set_timer == NULL) {
    *(void **)&set_timer = dlsym(RTLD_NEXT, "timerfd_settime");
  }
  struct itimerspec moved = *value;
  if ((flags & TFD_TIMER_ABSTIME) != 0) {
    moved.it_value.tv_sec = moved.it_value.tv_sec > slept() ? moved.it_value.tv_sec - slept() : 1;
  }
  return set_timer(fd, flags, &moved, old);
}
