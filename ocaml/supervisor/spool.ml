(* spool.ml - what a service writes while no daemon lives

   Called by xlchild_supervisor.ml and loop.ml. The logger of the daemon has a
   reading end of the pipe of its own (Xlchild_syslog.Logger.keep, and
   stub_logger.c): once the daemon is gone it reads the pipe, so that no service
   waits, and logs or spools what comes until the next life wants the pipe back.

   Two locks of the spool settle whose turn it is: the second byte is the wish of
   a living daemon, the first one is held by whoever reads. *)

type t = {
  folder : Safe.folder;
  name : string;
  fd : Unix.file_descr;
  kept : Xlchild_syslog.Logger.kept;
}

(* Of what is kept, in bytes; the rest is dropped, and that is told. *)
let most = 4 * 1024 * 1024

let lock fd at =
  ignore (Unix.lseek fd at Unix.SEEK_SET);
  Unix.lockf fd Unix.F_LOCK 1

let contents fd =
  ignore (Unix.lseek fd 0 Unix.SEEK_SET);
  let text = Buffer.create 4096 in
  let piece = Bytes.create 65536 in
  let rec more () =
    match Unix.read fd piece 0 (Bytes.length piece) with
    | 0 -> Buffer.contents text
    | n ->
        Buffer.add_subbytes text piece 0 n;
        more ()
  in
  more ()

(* Where the daemon's program cannot be executed anew there is none: a service
   that fills its pipe waits for the next life then. *)
let open_ ~folder ~tag ~name ~pipe =
  if not (Xlchild_syslog.outlives ()) then None
  else
    let fd = Safe.open_file folder name [ Read_write; Create ] in
    match
      Xlchild_syslog.Logger.keep ~socket:!Xlchild_syslog.socket ~tag ~most
        ~spool:(Unix.dup ~cloexec:true fd)
        (Safe.open_fifo_to_read folder pipe)
    with
    | kept -> Some { folder; name; fd; kept }
    | exception exn ->
        Unix.close fd;
        raise exn

(* From here on the pipe is this life's. What was kept, and whether that is less
   than was written. *)
let take t pour =
  lock t.fd 1;
  lock t.fd 0;
  let text = contents t.fd in
  let n = String.length text in
  let text, more = if n > most then (String.sub text 0 most, true) else (text, false) in
  pour text;
  Unix.ftruncate t.fd 0;
  (text, more)

let leave t =
  Unix.close t.fd;
  Xlchild_syslog.Logger.away t.kept

let remove t =
  Xlchild_syslog.Logger.forget t.kept;
  Unix.close t.fd;
  Safe.unlink t.folder t.name
