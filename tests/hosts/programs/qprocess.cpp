// qprocess.cpp - a Qt program: QProcess and its finished signal.
// See ../README.md.
#include <QCoreApplication>
#include <QProcess>
#include <QStringList>
#include <QTimer>

#include "../host.h"

static QProcess *start(int i)
{
    QProcess *child = new QProcess;
    QStringList words;
    char **argv = host_argv(i);

    for (int k = 1; argv[k]; k++)
        words << argv[k];
    child->start(argv[0], words);
    return child;
}

int main(int argc, char **argv)
{
    QCoreApplication program(argc, argv);
    int living = HOST_CHILDREN;
    QProcess *first = start(0);

    first->waitForFinished();
    host_go();
    QTimer::singleShot(0, [&] {
        for (int i = 0; i < HOST_CHILDREN; i++) {
            QProcess *child = start(i);
            auto finished = [&living, child, i](int code,
                                                QProcess::ExitStatus how) {
                if (how == QProcess::NormalExit)
                    host_exited(i, code);
                else
                    host_lost(i, qPrintable(child->errorString()));
                if (!--living)
                    QCoreApplication::quit();
            };

            QObject::connect(
                child,
                QOverload<int, QProcess::ExitStatus>::of(&QProcess::finished),
                finished);
        }
    });
    program.exec();
    host_done();
    return 0;
}
