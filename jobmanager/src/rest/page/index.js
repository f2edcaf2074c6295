// Shows the cluster. All that comes from it, names of jobs above all, is text and never markup.
"use strict";

const LONGEST_TIMER = 2147483647;

async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path} is answered with HTTP status ${answer.status}`);
  return answer.json();
}

function addRow(body, cells) {
  const row = body.insertRow();
  for (const cell of cells) {
    const place = row.insertCell();
    if (cell !== null && typeof cell === "object") {
      const link = document.createElement("a");
      link.href = cell.path;
      link.textContent = cell.text;
      place.append(link);
    } else {
      place.textContent = String(cell);
    }
  }
}

function show(table, rows) {
  const body = document.createElement("tbody");
  for (const cells of rows) addRow(body, cells);
  document.querySelector(`#${table} tbody`).replaceWith(body);
}

const time = (millis) => (millis > 0 ? new Date(millis).toLocaleString() : "");

function duration(millis) {
  const seconds = Math.floor(millis / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return `${hours > 0 ? `${hours} h ` : ""}${hours > 0 || minutes > 0 ? `${minutes} min ` : ""}${seconds % 60} s`;
}

async function refresh() {
  const [overview, jobs, taskManagers] = await Promise.all(["overview", "jobs/overview", "taskmanagers"].map(ask));
  show("overview", [
    ["TaskManagers", overview.taskmanagers],
    ["Slots", `${overview["slots-available"]} of ${overview["slots-total"]} are free`],
    ["Running jobs", overview["jobs-running"]],
    ["Finished jobs", overview["jobs-finished"]],
    ["Cancelled jobs", overview["jobs-cancelled"]],
    ["Failed jobs", overview["jobs-failed"]],
    ["Version", overview["flink-commit"]],
  ]);
  show("jobs", jobs.jobs.map((job) => [
    { path: `jobs/${encodeURIComponent(job.jid)}`, text: job.jid },
    job.name,
    job["slots-missing"] > 0 ? `${job.state}, ${job["slots-missing"]} slots are missing` : job.state,
    time(job["start-time"]),
    duration(job.duration),
    job.tasks.total,
    job.tasks.running,
  ]));
  show("taskmanagers", taskManagers.taskmanagers.map((taskManager) => [
    { path: `taskmanagers/${encodeURIComponent(taskManager.id)}`, text: taskManager.id },
    taskManager.slotsNumber,
    taskManager.freeSlots,
    time(taskManager.timeSinceLastHeartbeat),
  ]));
}

async function keepFresh(interval) {
  const trouble = document.getElementById("trouble");
  try {
    interval ??= (await ask("config"))["refresh-interval"];
    await refresh();
    trouble.hidden = true;
  } catch (error) {
    trouble.textContent = `What is shown may be old: ${error.message}`;
    trouble.hidden = false;
  }
  setTimeout(keepFresh, Math.min(Math.max(interval ?? 3000, 1000), LONGEST_TIMER), interval);
}

keepFresh();
