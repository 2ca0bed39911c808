(* suite.ml - the OCaml tests, one Alcotest program

   Run by run.sh, also with a minor heap of 256 words and a thread that compacts
   the heap without pause (XLCHILD_COMPACT). *)

let () =
  if Sys.getenv_opt "XLCHILD_COMPACT" <> None then
    ignore
      (Thread.create
         (fun () ->
           (* handlers are the tests' matter *)
           ignore
             (Thread.sigmask Unix.SIG_BLOCK
                Sys.[ sigusr1; sigusr2; sigterm; sigalrm ]);
           while true do
             Gc.compact ();
             Thread.yield ()
           done)
         ());
  Alcotest.run "xlchild"
    [
      ("children", Test_children.cases);
      ("interface", Test_interface.cases);
      ("events", Test_events.cases);
      ("raising", Test_raising.cases);
      ("raising runs", Test_raising_runs.cases);
      ("raising daemons", Test_raising_daemons.cases);
      ("raising services", Test_raising_services.cases);
      ("closures", Test_closures.cases);
      ("loop", Test_loop.cases);
      ("vectors", Test_vectors.cases);
      ("forkhelpers", Test_forkhelpers.cases);
      ("moving", Test_moving.cases);
      ("supervisor parts", Test_supervisor_parts.cases);
      ("supervisor", Test_supervisor.cases);
      ("adoption", Test_adoption.cases);
      ("keeper", Test_keeper.cases);
      ("keeping", Test_keeping.cases);
      ("groups", Test_groups.cases);
      ("family", Test_family.cases);
      ("family races", Test_family_races.cases);
      ("service families", Test_service_families.cases);
      ("forkhelpers' families", Test_forkhelpers_family.cases);
      ("account", Test_account.cases);
    ]
