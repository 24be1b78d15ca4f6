#ifndef LULL_EXAMPLES_INTEGRATE_TASK_LOOP_H
#define LULL_EXAMPLES_INTEGRATE_TASK_LOOP_H

// A thread with a queue, as many engines have one: tasks run one after the other.
typedef struct task_loop task_loop;

// @return null when there is no memory or no thread
task_loop* task_loop_start(void);

// Calls `run` on the loop, or `drop` where the loop has ended or ends first: one of them, once.
void task_loop_post(task_loop* to, void (*run)(void* user), void (*drop)(void* user), void* user);

// Waits for the task that runs, and drops what is queued. Posting to it goes on being allowed.
void task_loop_end(task_loop* which);

void task_loop_destroy(task_loop* which);

#endif  // LULL_EXAMPLES_INTEGRATE_TASK_LOOP_H
