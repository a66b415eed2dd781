"""One epoch: what the loop reads of each batch, and what comes of it."""

import signal
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from common.data.batches import Batch
from common.training.nonfinite import NonFiniteGuard
from common.training.progress_bar import progress_bar
from common.training.timing import LoaderTimer
from portproof.system import memory

if TYPE_CHECKING:
    from common.training.run import Run

REFRESH = 10  # batches between two looks at the running loss: each look waits for the device


class Epoch:
    """Passes the batches of one epoch on, from where the run stands, and adds up their sums."""

    def __init__(self, run: "Run", loader: Any) -> None:
        self.run = run
        self.sampler = loader.batch_sampler
        self.number = run.progress.epoch
        self.first_batch = run.progress.step * run.args.accumulate
        if run.progress.step == 0:
            run.progress.lr = run.current_lr()
        self.loss_sum: Any = run.progress.loss_sum
        self.correct: Any = run.progress.correct
        self.seen = self.seen_before = run.progress.seen
        self.guard = NonFiniteGuard(loader, self.number, run.checkpoints)
        self.timer = LoaderTimer()
        title = f"epoch {self.number + 1}/{run.args.epochs}"
        self.bar = progress_bar(loader, title, done=self.first_batch)

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return len(self.sampler)

    def iterate(self, batches: Iterable[tuple]) -> Iterator[tuple[Batch, Any, Any]]:
        """Yield (batch, images, labels) for each of the remaining batches (images, labels)."""
        batches = self.run.observer.batches(batches, self)
        for number, (images, labels) in enumerate(self.timer.count(batches), self.first_batch):
            self.batch, self.size = self.sampler.batch(number), len(labels)
            self.run.observer.begin_batch(self.batch, images, labels)
            yield self.batch, images, labels
        self.bar.close()

    def update(self, loss: Any, correct: Any) -> None:
        """Add a batch's mean loss [] and correct samples []; save if due. Raises RunError."""
        batch, run = self.batch, self.run
        if run.observer.end_batch(loss):
            run.checkpoints.stop.signal = signal.SIGTERM  # save and leave after this step
        memory.keep_freed()  # not before: what the first step makes to last stays out of the way
        self.loss_sum = self.loss_sum + loss * batch.count
        self.correct = self.correct + correct * (batch.count > 0)
        self.seen += batch.count
        self.guard.note(batch.number, loss)
        if batch.number % REFRESH == 0:
            self.guard.check()
            self._show()
        self.bar.update(self.size * self.sampler.world_size)
        if batch.ends_step and run.checkpoints.is_due():
            self.guard.check(run.trainer.model.parameters())
            steps = batch.number // run.args.accumulate + 1
            run.progress.note(steps, *run.all_reduce_sum(self._sums()))
            run.checkpoints.save(run.progress)

    def _sums(self) -> list[float]:
        return [float(self.loss_sum), int(self.correct), self.seen]

    def _show(self) -> None:
        shown = max(self.seen, 1)  # of several processes, one may have had none yet
        loss, top1 = float(self.loss_sum) / shown, 100 * int(self.correct) / shown
        words = f"loss {loss:.3f}, top-1 {top1:.1f}, lr {self.run.current_lr():.2g}"
        self.bar.set_postfix_str(words, False)

    def metrics(self) -> dict[str, float]:
        """Return lr, mean loss, top-1 in per cent, and images/s, over all processes."""
        run, timer = self.run, self.timer
        self.guard.check(run.trainer.model.parameters())
        if self.sampler.rank == 0:
            timer.warn(run.args.workers)
        sums = [*self._sums(), self.seen - self.seen_before]
        loss_sum, correct, seen, trained = run.all_reduce_sum(sums)
        run.progress.note(self.sampler.steps, loss_sum, correct, seen)  # if evaluation is stopped
        return {
            "lr": run.progress.lr,
            "train_loss": loss_sum / seen,
            "train_top1": 100 * correct / seen,
            "images_per_s": trained / timer.total(),
            "data_seconds": timer.for_data,
            "compute_seconds": timer.for_compute,
        }
