;; Is a component in a component in a component, a thousand times, and runs.
;; group: load
;; nested: 1000
(component
  (;memory;)
  (;skill;))
