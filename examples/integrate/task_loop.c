#include "task_loop.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct task {
  void (*run)(void* user);
  void (*drop)(void* user);
  void* user;
  struct task* next;
} task;

struct task_loop {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  task* first;
  task** last;
  int ending;
  pthread_t thread;
};

// @return null when the loop ends
static task* next_task(task_loop* from) {
  pthread_mutex_lock(&from->mutex);
  while (from->first == NULL && !from->ending) pthread_cond_wait(&from->changed, &from->mutex);
  task* const next = from->ending ? NULL : from->first;
  if (next != NULL) from->first = next->next;
  if (from->first == NULL) from->last = &from->first;
  pthread_mutex_unlock(&from->mutex);
  return next;
}

static void* run_tasks(void* user) {
  for (task* each; (each = next_task(user)) != NULL;) {
    each->run(each->user);
    free(each);
  }
  return NULL;
}

task_loop* task_loop_start(void) {
  task_loop* const made = calloc(1, sizeof *made);
  if (made == NULL) return NULL;
  made->last = &made->first;
  pthread_mutex_init(&made->mutex, NULL);
  pthread_cond_init(&made->changed, NULL);
  if (pthread_create(&made->thread, NULL, run_tasks, made) == 0) return made;
  task_loop_destroy(made);
  return NULL;
}

void task_loop_post(task_loop* to, void (*run)(void* user), void (*drop)(void* user), void* user) {
  task* const made = malloc(sizeof *made);
  if (made != NULL) {
    *made = (task){run, drop, user, NULL};
    pthread_mutex_lock(&to->mutex);
    const int accepted = !to->ending;
    if (accepted) {
      *to->last = made;
      to->last = &made->next;
      pthread_cond_signal(&to->changed);
    }
    pthread_mutex_unlock(&to->mutex);
    if (accepted) return;
  }
  free(made);
  drop(user);
}

void task_loop_end(task_loop* which) {
  pthread_mutex_lock(&which->mutex);
  which->ending = 1;
  pthread_cond_signal(&which->changed);
  pthread_mutex_unlock(&which->mutex);
  pthread_join(which->thread, NULL);
  for (task* each = which->first; each != NULL;) {
    task* const next = each->next;
    each->drop(each->user);
    free(each);
    each = next;
  }
}

void task_loop_destroy(task_loop* which) {
  pthread_cond_destroy(&which->changed);
  pthread_mutex_destroy(&which->mutex);
  free(which);
}
