// Which network is chosen under limits, exactly as evo_fair.report.operating_point chooses it.
"use strict";

// A chooser over a table: ids, rank (the order of the ids), columns (null where unknown), and axes {name, direction}.
function makeChooser(table, axes) {
  const count = table.ids.length;
  // Lower is better, and what was not measured is worse than anything.
  const points = axes.map(({ name, direction }) =>
    Float64Array.from(table.columns[name], (value) =>
      value === null ? Infinity : direction === "max" ? -value : value));

  function meets(limit) {
    const values = table.columns[limit.name];
    // What rounding puts a share beyond a limit that it equals: 1 - 0.85 is a little more than 0.15.
    const rounding = Math.min(1e-12, 1e-9 * Math.abs(limit.number));
    const sign = limit.relation === "<=" ? 1 : -1;
    return Uint8Array.from(values, (value) =>
      value !== null && sign * (value - limit.number) <= rounding ? 1 : 0);
  }

  function dominated(one, places) {
    return places.some((other) => {
      let better = false;
      for (const values of points) {
        if (values[other] > values[one]) return false;
        if (values[other] < values[one]) better = true;
      }
      return better;
    });
  }

  function best(places, goal) {
    const sign = goal.direction === "max" ? -1 : 1;
    const keys = [table.columns[goal.name].map((value) => sign * value), ...points, table.rank];
    const order = (a, b) => {
      for (const key of keys) if (key[a] !== key[b]) return key[a] < key[b] ? -1 : 1;
      return 0;
    };
    if (!places.length) return null;
    // The best in the goal is nearly always non-dominated: sorting all of them is for the rest.
    const first = places.reduce((a, b) => (order(b, a) < 0 ? b : a));
    if (!dominated(first, places)) return first;
    return [...places].sort(order).find((place) => !dominated(place, places));
  }

  // The chosen place or null, what is within all limits, and for each limit the best value without it and its cost.
  return function choose(limits, goal) {
    const values = table.columns[goal.name];
    const met = limits.map(meets);
    const within = (without) => {
      const places = [];
      for (let i = 0; i < count; i++) {
        if (values[i] !== null && met.every((one, number) => number === without || one[i])) places.push(i);
      }
      return places;
    };
    const kept = within(-1);
    const point = best(kept, goal);
    const costs = limits.map((limit, number) => {
      const other = best(within(number), goal);
      const value = other === null ? null : values[other];
      return {
        limit, best: value,
        cost: value === null || point === null ? null : Math.abs(value - values[point]),
      };
    });
    return { point, kept, costs };
  };
}
