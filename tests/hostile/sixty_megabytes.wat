;; Is almost as large as a component may be, most of it for nothing, and is run.
;; group: load
;; bytes: 62914560
(component
  (;memory;)
  (;skill;))
